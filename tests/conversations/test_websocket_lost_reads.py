"""What a socket does when the database fails it, or says less than has happened since."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from conversations import chat_socket
from conversations.models import Conversation
from conversations.selectors import conversation_for_reader, conversation_messages
from conversations.services.database import db_read
from inference.errors import EngineStopped
from tests.conversations.sockets import PATIENCE, Browser, Socket
from tests.fakes import FakeEngine

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("rooms")]

TRY_AGAIN_LATER = {"type": "websocket.close", "code": 1013}


async def closed(socket: Socket) -> bool:
    """Whether the socket is closed so that a page opens another; what comes before is let pass."""
    async with asyncio.timeout(PATIENCE):
        while True:
            output = await socket.communicator.receive_output(timeout=PATIENCE)
            if output["type"] == "websocket.close":
                return bool(output == TRY_AGAIN_LATER)


async def test_a_socket_that_could_not_tell_of_a_reply_is_closed_and_the_next_one_does(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks: list[object] = []

    def failing(**which: Any) -> Conversation | None:
        """Lets in whoever comes and whoever writes, and then fails."""
        looks.append(which)
        if len(looks) > 2:
            raise OperationalError("the pool is empty")
        return conversation_for_reader(**which)

    pause = asyncio.Event()
    fake_engine.play("Well", pause, " met.")
    with monkeypatch.context() as patch:
        patch.setattr(chat_socket, "RIGHTS_SECONDS", 0.0)
        patch.setattr("conversations.consumers.conversation_for_reader", failing)
        async with browser.open(conversation) as socket:
            await socket.say("Hello")
            assert await closed(socket)
    assert f"conversation {conversation.pk}: an event was not told" in caplog.text
    async with browser.open(conversation) as socket:
        pause.set()
        end = await socket.next("reply.end")
    assert (end["text"], end["status"]) == ("Well met.", "complete")


async def test_a_socket_that_cannot_follow_a_reply_is_closed(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def failing(*_: object) -> None:
        raise OperationalError("the pool is empty")

    async with browser.open(conversation) as socket:
        await socket.say("Hello")
        reply_id = (await socket.next("reply.end"))["message_id"]
        monkeypatch.setattr("conversations.services.replies.db_read", failing)
        await socket.send("reply.resume", message_id=reply_id, after_seq=0)
        assert await closed(socket)
    assert f"reply {reply_id} cannot be followed" in caplog.text


async def test_a_retry_that_begins_while_the_state_is_being_read_is_told(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_engine.play("Well", EngineStopped("The engine was closed."))
    fake_engine.play("Better", " now.")
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        result = await db_read(function, *args, **options)
        if function is conversation_messages:
            read.set()
            await go_on.wait()
        return result

    async with browser.open(conversation) as one:
        client_id = await one.say("Hello")
        await one.next("reply.end")
        monkeypatch.setattr(chat_socket, "db_read", slowly)
        two = browser.open(conversation)
        opening = asyncio.create_task(two.__aenter__())
        await read.wait()
        await one.say("Hello", client_id)
        await one.next("reply.end")
        go_on.set()
        await opening
        assert two.state["messages"][1]["status"] == "failed"
        assert (await two.next("reply.end"))["text"] == "Better now."
        await two.close()


async def test_what_the_state_has_is_not_told_again(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def late(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if function is conversation_messages:
            reading.set()
            await go_on.wait()
        return await db_read(function, *args, **options)

    async with browser.open(conversation) as one:
        monkeypatch.setattr(chat_socket, "db_read", late)
        two = browser.open(conversation)
        opening = asyncio.create_task(two.__aenter__())
        await reading.wait()
        await one.say("Hello")
        await one.next("reply.end")
        go_on.set()
        await opening
        assert [message["status"] for message in two.state["messages"]] == ["complete"] * 2
        assert await two.usable()
        await two.close()
