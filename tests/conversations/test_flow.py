"""What becomes of a websocket whose other side is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.error import ConnectionLost
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from conversations.chat_socket import MAX_WAITING_EVENTS, ChatSocket, Reader
from conversations.flow import FRAMES_AT_ONCE, FrameBudget, Outlet
from conversations.models import Conversation, Status
from conversations.services.events import (
    ConversationReset,
    ReplyEnded,
    ReplyEvent,
    ReplyStarted,
    ReplyToken,
)
from conversations.services.live import LiveReply
from conversations.services.owners import Owner


class Transport:
    """A transport as Twisted's: it tells its producer when its buffer is full. Of what is written
    past its buffer the system takes so many bytes."""

    def __init__(self) -> None:
        self.producer: Any = None
        self.reading = True
        self.takes: int | Exception = 2**30
        self.dataBuffer = b""
        self._tempDataBuffer: list[bytes] = []
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._tempDataBuffer.append(data)
        self.written.append(data)

    def writeSomeData(self, data: bytes) -> int | Exception:  # noqa: N802
        if isinstance(self.takes, Exception):
            return self.takes
        self.written.append(data[: self.takes])
        return len(self.written[-1])

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802
        self.producer = None

    def pauseProducing(self) -> None:  # noqa: N802
        self.reading = False

    def resumeProducing(self) -> None:  # noqa: N802
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading


class Protocol:
    def __init__(self, state: int = WebSocketProtocol.STATE_CONNECTING) -> None:
        self.state = state
        self.transport = Transport()
        self.sent: list[str] = []


async def handle_reply(protocol: Protocol, message: dict[str, Any]) -> None:
    protocol.sent.append(message.get("text", message["type"]))


async def test_nothing_is_written_or_read_while_the_buffer_is_full() -> None:
    protocol = Protocol()
    transport = protocol.transport
    with Outlet(partial(handle_reply, protocol)) as outlet:
        await outlet.send("one")
        transport.producer.pauseProducing()
        assert not transport.is_reading()
        waiting = [asyncio.create_task(outlet.send(text)) for text in ("two", "three")]
        await asyncio.wait(waiting, timeout=0)
        assert protocol.sent == ["one"]
        transport.producer.resumeProducing()
        await asyncio.gather(*waiting)
        assert transport.is_reading()
    assert protocol.sent == ["one", "two", "three"]
    assert transport.producer is None


async def test_who_waits_for_a_lost_connection_is_let_go() -> None:
    protocol = Protocol()
    with Outlet(partial(handle_reply, protocol)) as outlet:
        protocol.transport.producer.pauseProducing()
        waiting = asyncio.create_task(outlet.send("late"))
        await asyncio.sleep(0)
        protocol.transport.producer.stopProducing()
        await waiting
        await outlet.close(1013)
    assert protocol.sent == []


async def test_frames_that_come_together_are_written_at_once() -> None:
    protocol = Protocol(WebSocketProtocol.STATE_OPEN)
    texts = ["", "ü", "a" * 125, "b" * 126, "c" * 65_535, "d" * 65_536]
    with Outlet(partial(handle_reply, protocol)) as outlet:
        await outlet.send(*texts)
        protocol.state = WebSocketProtocol.STATE_CLOSING
        await outlet.send("late")
    assert protocol.sent == ["late"]
    [written] = protocol.transport.written
    reader = Messages()
    reader.receive_data(written)
    assert reader.texts() == texts


@pytest.mark.parametrize("takes", [0, 7, ConnectionLost()])
async def test_what_the_system_does_not_take_at_once_waits_its_turn(takes: int | Exception) -> None:
    protocol = Protocol(WebSocketProtocol.STATE_OPEN)
    transport = protocol.transport
    transport.takes = takes
    with Outlet(partial(handle_reply, protocol)) as outlet:
        await outlet.send("a good many words")
        transport.takes = 2**30
        await outlet.send("and more")
    reader = Messages()
    reader.receive_data(b"".join(transport.written))
    assert reader.texts() == ["a good many words", "and more"]


async def test_with_another_server_frames_are_just_sent() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with Outlet(send) as outlet:
        await outlet.send("one")
        await outlet.hold_input(0)
        await outlet.close(1013)
    assert sent == [
        {"type": "websocket.send", "text": "one"},
        {"type": "websocket.close", "code": 1013},
    ]


def test_a_flood_of_frames_is_slowed_down() -> None:
    budget = FrameBudget()
    assert not any(budget.take() for _ in range(FRAMES_AT_ONCE))
    waits = [budget.take() for _ in range(20)]
    assert waits[0] > 0
    assert waits[-1] > waits[0]


class Messages(ClientProtocol):
    """The client's side of a connection, by a library that none of us wrote."""

    def __init__(self) -> None:
        super().__init__(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)

    def texts(self) -> list[str]:
        frames = self.events_received()
        assert all(isinstance(frame, Frame) and frame.fin for frame in frames)
        return [bytes(frame.data).decode() for frame in frames if isinstance(frame, Frame)]


async def stream(live: LiveReply) -> AsyncGenerator[ReplyEvent, None]:
    async for batch in live.batches():
        for event in batch:
            yield event


@pytest.fixture
def live() -> LiveReply:
    return LiveReply(reply_id=1, conversation_id=uuid4(), client_id=None)


async def test_a_reader_that_is_behind_gets_fewer_and_longer_pieces(live: LiveReply) -> None:
    events = stream(live)
    live.append("a")
    assert await anext(events) == ReplyStarted()
    assert await anext(events) == ReplyToken(1, "a")
    for text in "bcde":
        live.append(text)
    live.end(ReplyEnded("abcde", Status.COMPLETE))
    rest: list[ReplyEvent] = [event async for event in events]
    assert rest == [ReplyToken(2, "bcde"), ReplyEnded("abcde", Status.COMPLETE)]
    assert live.token_ends == [1, 5]


async def test_all_readers_get_the_same_numbers(live: LiveReply) -> None:
    quick, slow = stream(live), stream(live)
    assert not live.pieces
    for text in ("I", " am", " here"):
        live.append(text)
        while not isinstance(await anext(quick), ReplyToken):
            pass
    live.append(" now")
    live.end(ReplyEnded(live.text, Status.COMPLETE))
    late = [event async for event in slow if isinstance(event, ReplyToken)]
    assert late == [ReplyToken(n, text) for n, text in enumerate(live.pieces, start=1)]
    assert [event.seq async for event in quick if isinstance(event, ReplyToken)] == [4]
    assert live.pieces == ["I", " am", " here", " now"]


async def nobody() -> None:
    """Who the reader is now."""


async def test_a_reader_that_stays_behind_is_asked_to_come_again() -> None:
    protocol = Protocol()
    conversation = Conversation(pk=uuid4())
    with Outlet(partial(handle_reply, protocol)) as outlet:
        socket = ChatSocket(Reader(conversation, Owner(), ""), nobody, outlet)
        for _ in range(MAX_WAITING_EVENTS):
            socket.hear(ConversationReset(uuid4()))
        await asyncio.sleep(0)
        assert protocol.sent == []
        socket.hear(ConversationReset(uuid4()))
        socket.hear(ConversationReset(uuid4()))
        await asyncio.sleep(0)
    assert protocol.sent == ["websocket.close"]
