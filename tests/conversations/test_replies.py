"""Replies as any door sees them: followed, stopped, recovered."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from conversations.models import Channel, Conversation, Message, Persona, Role, Status
from conversations.services.conversations import conversation_delete
from conversations.services.database import db_now
from conversations.services.errors import ConversationGone
from conversations.services.events import ReplyEnded, ReplyEvent, ReplyStarted, ReplyToken
from conversations.services.messages import Exchange, message_send
from conversations.services.replies import (
    ReplyUnknown,
    feedback_give,
    replies_interrupt,
    replies_recover,
    reply_begin,
    reply_stop,
    reply_stream,
)
from conversations.services.rooms import Rooms
from tests.fakes import FakeEngine

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("rooms"),
]


@pytest.fixture
def conversation(transactional_db: None, persona: Persona) -> Conversation:
    return Conversation.objects.create(persona=persona, channel=Channel.API)


async def send(conversation: Conversation, text: str = "Hello") -> Exchange:
    return await sync_to_async(message_send)(
        conversation=conversation, text=text, client_id=uuid4()
    )


async def follow(reply: Message, after_seq: int = 0) -> list[ReplyEvent]:
    return [event async for event in reply_stream(reply_id=reply.pk, after_seq=after_seq)]


async def test_following_a_reply_begins_it(
    conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("Hello.")
    events = await follow((await send(conversation)).reply)
    assert events == [
        ReplyStarted(),
        ReplyToken(1, "Hello."),
        ReplyEnded("Hello.", Status.COMPLETE),
    ]


async def test_everybody_who_follows_gets_the_same(
    conversation: Conversation, fake_engine: FakeEngine
) -> None:
    reply = (await send(conversation)).reply
    one, two, later = await asyncio.gather(follow(reply), follow(reply), follow(reply, 1))
    assert one == two
    assert later == [event for event in one if getattr(event, "seq", 9) > 1][1:]
    assert await follow(reply) == one
    assert len(fake_engine.calls) == 1


async def test_leaving_does_not_stop_it(
    conversation: Conversation, fake_engine: FakeEngine
) -> None:
    pause = asyncio.Event()
    fake_engine.play("Hello", pause, " there")
    reply = (await send(conversation)).reply
    stream = reply_stream(reply_id=reply.pk)
    await anext(stream)
    await stream.aclose()
    pause.set()
    assert (await follow(reply))[-1] == ReplyEnded("Hello there", Status.COMPLETE)


async def test_a_stopped_reply_keeps_its_text(
    conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("Hello", asyncio.Event())
    exchange = await send(conversation)
    reply_begin(exchange=exchange)
    stream = reply_stream(reply_id=exchange.reply.pk)
    await anext(stream)
    await reply_stop(reply_id=exchange.reply.pk)
    assert [event async for event in stream][-1] == ReplyEnded("Hello", Status.STOPPED)


async def test_a_reply_that_nobody_has_begun_can_be_stopped(conversation: Conversation) -> None:
    reply = (await send(conversation)).reply
    await reply_stop(reply_id=reply.pk)
    assert await follow(reply) == [ReplyEnded("", Status.STOPPED)]


async def test_unknown_replies(conversation: Conversation) -> None:
    question = (await send(conversation)).message
    for reply_id in (question.pk, 999_999):
        with pytest.raises(ReplyUnknown):
            await anext(reply_stream(reply_id=reply_id))
        with pytest.raises(ReplyUnknown):
            await reply_stop(reply_id=reply_id)


async def test_a_reply_that_is_being_stopped_can_be_stopped_again(
    conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("Hello", asyncio.Event())
    reply = (await send(conversation)).reply
    stream = reply_stream(reply_id=reply.pk)
    await anext(stream)
    live = Rooms.here().replies[reply.pk]
    for _ in range(3):
        live.stop()
        await asyncio.sleep(0)
    assert [event async for event in stream][-1] == ReplyEnded("Hello", Status.STOPPED)


async def test_a_deleted_conversation_ends_its_reply(
    conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("Hello", asyncio.Event())
    stream = reply_stream(reply_id=(await send(conversation)).reply.pk)
    await anext(stream)
    await sync_to_async(conversation_delete)(conversation=conversation)
    ended = [event async for event in stream][-1]
    assert isinstance(ended, ReplyEnded)
    assert ended.status in {Status.STOPPED, Status.INTERRUPTED}
    assert fake_engine.calls[0].left.is_set()
    assert not await Message.objects.aexists()


def test_a_conversation_is_deleted_while_a_message_arrives(conversation: Conversation) -> None:
    message_send(conversation=conversation, text="Hello", client_id=uuid4())
    refusals: list[Exception] = []

    def write() -> None:
        try:
            message_send(conversation=conversation, text="Me too!", client_id=uuid4())
        except ConversationGone as error:
            refusals.append(error)
        finally:
            connection.close()

    writer = threading.Thread(target=write)

    def arrive(execute: Any, sql: str, *rest: Any) -> Any:
        """When it is known what is to go, and nothing has gone yet."""
        if sql.startswith("DELETE") and writer.ident is None:
            writer.start()
            writer.join(0.5)
        return execute(sql, *rest)

    with connection.execute_wrapper(arrive):
        conversation_delete(conversation=conversation)
    writer.join()
    assert len(refusals) == 1
    assert not Conversation.objects.exists()
    assert not Message.objects.exists()


def test_a_reply_that_has_just_been_deleted_cannot_be_judged(conversation: Conversation) -> None:
    exchange = message_send(conversation=conversation, text="Hello", client_id=uuid4())
    exchange.message.delete()
    with pytest.raises(ReplyUnknown):
        feedback_give(reply=exchange.reply, feedback=1)


async def test_a_reply_written_by_another_process_is_awaited(
    conversation: Conversation, fake_engine: FakeEngine
) -> None:
    first, second = await send(conversation, "one"), await send(conversation, "two")
    rows = Message.objects.filter(pk=first.reply.pk)
    await rows.aupdate(status=Status.STREAMING, started_at=timezone.now())
    following = asyncio.create_task(follow(second.reply))
    stream = reply_stream(reply_id=first.reply.pk)
    waiting = asyncio.ensure_future(anext(stream))
    await rows.aupdate(status=Status.COMPLETE, text="From elsewhere", token_ends=[4, 14])
    assert await waiting == ReplyStarted()
    assert [event async for event in stream] == [
        ReplyToken(1, "From"),
        ReplyToken(2, " elsewhere"),
        ReplyEnded("From elsewhere", Status.COMPLETE),
    ]
    assert isinstance((await following)[-1], ReplyEnded)
    assert [turn.text for turn in fake_engine.calls[0].turns] == ["one", "From elsewhere", "two"]


async def test_a_reply_left_by_a_dead_process_is_not_awaited_for_ever(
    conversation: Conversation, fake_engine: FakeEngine
) -> None:
    first, second = await send(conversation, "one"), await send(conversation, "two")
    long_ago = timezone.now() - timedelta(minutes=5)
    await Message.objects.filter(pk=first.reply.pk).aupdate(
        status=Status.STREAMING, started_at=long_ago
    )
    assert (await follow(first.reply))[-1] == ReplyEnded("", Status.INTERRUPTED)
    assert isinstance((await follow(second.reply))[-1], ReplyEnded)


def left_behind(conversation: Conversation) -> list[Message]:
    """A finished reply, one that was being written, and one that waited for it."""
    replies = []
    for status, started in (
        (Status.COMPLETE, 300),
        (Status.STREAMING, 200),
        (Status.PENDING, None),
    ):
        reply = message_send(conversation=conversation, text="Hi", client_id=uuid4()).reply
        since = timezone.now() - timedelta(seconds=started) if started else None
        Message.objects.filter(pk=reply.pk).update(status=status, started_at=since)
        replies.append(reply)
    return replies


def statuses() -> list[str]:
    return list(Message.objects.filter(role=Role.BOT).values_list("status", flat=True))


def test_a_single_server_recovers_everything_unfinished(conversation: Conversation) -> None:
    left_behind(conversation)
    assert replies_recover() == 2
    assert statuses() == [Status.COMPLETE, Status.INTERRUPTED, Status.INTERRUPTED]
    assert replies_recover() == 0


def test_with_other_servers_only_what_is_surely_left_behind_is_recovered(
    conversation: Conversation, settings: Settings
) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1"]},
        }
    }
    _, running, waiting = left_behind(conversation)
    Message.objects.filter(pk=running.pk).update(started_at=timezone.now())
    assert replies_recover() == 0
    Message.objects.filter(pk=running.pk).update(started_at=timezone.now() - timedelta(minutes=5))
    assert replies_recover() == 1
    assert statuses()[1:] == [Status.INTERRUPTED, Status.PENDING]
    Message.objects.filter(pk=waiting.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    assert replies_recover() == 1
    assert statuses()[1:] == [Status.INTERRUPTED, Status.INTERRUPTED]


async def test_the_very_end_of_a_process_stores_what_there_is(
    conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("I was", asyncio.Event())
    exchange = await send(conversation)
    stream = reply_stream(reply_id=exchange.reply.pk)
    await anext(stream)
    await asyncio.to_thread(db_now, replies_interrupt)
    row = await Message.objects.aget(pk=exchange.reply.pk)
    assert (row.status, row.text, row.token_ends) == (Status.INTERRUPTED, "I was", [5])
    params = fake_engine.calls[0].params
    assert row.sampling["seed"] == params.seed
    # Here people see it as it is written, so there is one to write.
    assert params.candidates == 1
