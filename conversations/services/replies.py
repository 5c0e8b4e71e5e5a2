"""Replies: begin them, follow them, stop them, judge them, and clean up after a crash.

A reply belongs to the server. `reply_begin` puts it to work and whoever likes follows it with
`reply_stream`, from anywhere in it and in any process; nobody's leaving ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from conversations.models import UNFINISHED, Conversation, Message, Role, Status
from conversations.services.database import db_read, db_write
from conversations.services.errors import RateLimited, ServiceError
from conversations.services.events import MessageSaved, ReplyEnded, ReplyEvent
from conversations.services.generation import replies_stale, reply_store, reply_withdraw
from conversations.services.limits import message_limit
from conversations.services.live import LiveReply, stored_events
from conversations.services.messages import (
    Exchange,
    message_clean,
    message_is_settled,
    message_send,
)
from conversations.services.owners import Owner
from conversations.services.rooms import Listener, Room, Rooms

# An event loop alone does not keep its tasks alive.
_posting: set[asyncio.Task[Exchange]] = set()


class ReplyUnknown(ServiceError):
    """There is no such reply: code `not_found`."""

    def __init__(self) -> None:
        super().__init__("not_found", "There is no such reply in this conversation.")


async def message_post(
    *,
    conversation: Conversation,
    text: str,
    client_id: UUID,
    owner: Owner,
    address: str = "",
    sender: Listener | None = None,
    same_text: bool = False,
) -> Exchange:
    """Save a message, counted for the rate limits, and put its reply to work; both also when
    whoever sent it leaves meanwhile.

    `sender` is the listener that need not be told of it; `same_text` is for `message_send`. Raises
    what `message_limit` and `message_send` do.
    """

    def save() -> Exchange:
        message_clean(text)
        try:
            message_limit(owner=owner, address=address)
        except RateLimited:
            # One that only comes again, because its answer got lost, costs nothing.
            if not message_is_settled(conversation=conversation, client_id=client_id):
                raise
        return message_send(
            conversation=conversation, text=text, client_id=client_id, same_text=same_text
        )

    async def post() -> Exchange:
        exchange = await db_write(save)
        reply_begin(exchange=exchange, sender=sender)
        return exchange

    return await _to_its_end(post())


def asks_for_reset(text: str) -> bool:
    """Whether a message is no message, but asks for another character."""
    return text.strip().lower() == "/reset"


def reply_begin(*, exchange: Exchange, sender: Listener | None = None) -> None:
    """Put the reply to a saved message to work, and let everybody else know of the message.

    Call it in the event loop. Does nothing for a reply that is under way or has ended.
    """
    message, reply = exchange.message, exchange.reply
    room = Rooms.here().open(message.conversation_id)
    if exchange.created and message.client_id:
        saved = MessageSaved(message.pk, message.client_id, message.text)
        room.announce(saved, besides=sender)
        room.rooms.relay.announce(message.conversation_id, saved)
    if reply.status in UNFINISHED:
        room.reply(reply.pk, message.client_id)
        room.work()
    room.rooms.tidy(room)


async def reply_stream(*, reply_id: int, after_seq: int = 0) -> AsyncGenerator[ReplyEvent, None]:
    """Everything that comes after piece `after_seq` of a reply; ends with ReplyEnded.

    Begins the reply if nobody has. Raises ReplyUnknown.
    """
    async with aclosing(reply_batches(reply_id=reply_id, after_seq=after_seq)) as batches:
        async for batch in batches:
            for event in batch:
                yield event


async def reply_batches(
    *, reply_id: int, after_seq: int = 0
) -> AsyncGenerator[list[ReplyEvent], None]:
    """`reply_stream` for those who can pass on at once what comes together."""
    live = Rooms.here().live(reply_id)
    if live is None:
        reply = await db_read(_reply, reply_id)
        if reply.status not in UNFINISHED:
            yield list(stored_events(reply, after_seq))
            return
        room, live = _room_and_log(reply)
        room.work()
    async for batch in live.batches(after_seq):
        yield batch


async def reply_end(*, reply_id: int) -> ReplyEnded:
    """Wait for the end of a reply, beginning it if nobody has. Raises ReplyUnknown."""
    async for event in reply_stream(reply_id=reply_id):
        if isinstance(event, ReplyEnded):
            return event
    raise AssertionError("a reply's stream ends with ReplyEnded")


async def reply_stop(*, reply_id: int) -> None:
    """Stop a reply, waiting or running, here or in another process; it keeps what it has.

    Nothing happens when it has ended. Its end comes through `reply_stream`. Raises ReplyUnknown.
    """
    reply = await db_read(_reply, reply_id)
    if reply.status not in UNFINISHED:
        return
    room, live = _room_and_log(reply)
    if live.is_ours:
        live.stop()
    elif await db_write(reply_withdraw, reply_id=reply_id):
        room.end(live, ReplyEnded("", Status.STOPPED))
    else:
        live.stop()
        room.rooms.relay.stop(live)
        room.work()
    room.rooms.tidy(room)


async def replies_stop(*, among: QuerySet[Message]) -> None:
    """Stop those of some messages that are being written or wait for it."""
    # The newest first: where an earlier one stops the next would begin.
    unfinished = among.filter(status__in=UNFINISHED).order_by("-id")
    for reply_id in await db_read(list, unfinished.values_list("id", flat=True)):
        with suppress(ReplyUnknown):  # somebody has just deleted it
            await reply_stop(reply_id=reply_id)


def feedback_give(*, reply: Message, feedback: int | None) -> None:
    """Remember whether a person liked a reply: 1 yes, -1 no, None takes it back.

    Raises ReplyUnknown.
    """
    if not Message.objects.filter(pk=reply.pk).update(feedback=feedback):
        raise ReplyUnknown
    reply.feedback = feedback


def replies_recover() -> int:
    """Mark replies that a dead process left behind as interrupted; returns how many.

    Without Redis this is the only process, so every unfinished reply is one. With it, those are
    that have taken longer than a reply may, and those that wait with nothing before them.
    """
    if isinstance(get_channel_layer(), InMemoryChannelLayer):
        return _interrupt(Message.objects.filter(role=Role.BOT, status__in=UNFINISHED))
    stale = _interrupt(replies_stale())
    limit = timezone.now() - timedelta(seconds=settings.ENV.reply_timeout)
    running = Message.objects.filter(conversation=OuterRef("conversation"), status=Status.STREAMING)
    waiting = Message.objects.filter(~Exists(running), status=Status.PENDING, created_at__lt=limit)
    return stale + _interrupt(waiting)


def replies_interrupt() -> None:
    """Store the replies that this process is writing as interrupted, with what they have.

    For the very end of a process, when no event loop runs any more.
    """
    for outcome in [outcome for rooms in Rooms.everywhere() for outcome in rooms.running()]:
        outcome.status = Status.INTERRUPTED
        reply_store(outcome)


async def _to_its_end(post: Coroutine[Any, Any, Exchange]) -> Exchange:
    """Wait for something that is not cancelled together with whoever waits."""
    task = asyncio.create_task(post)
    _posting.add(task)
    task.add_done_callback(_posted)
    return await asyncio.shield(task)


def _posted(task: asyncio.Task[Exchange]) -> None:
    _posting.discard(task)
    if not task.cancelled():
        task.exception()  # asyncio reports one that nobody has asked for, as when the sender left


def _reply(reply_id: int) -> Message:
    replies = Message.objects.filter(role=Role.BOT).select_related("reply_to")
    reply = replies.filter(pk=reply_id).first()
    if reply is None:
        raise ReplyUnknown
    return reply


def _room_and_log(reply: Message) -> tuple[Room, LiveReply]:
    """Of a reply that is not finished."""
    room = Rooms.here().open(reply.conversation_id)
    return room, room.reply(reply.pk, reply.reply_to.client_id if reply.reply_to else None)


def _interrupt(replies: QuerySet[Message]) -> int:
    return replies.update(status=Status.INTERRUPTED, finished_at=timezone.now())
