"""Flow control of one websocket: nothing piles up for a reader that is slow or does not read.

ASGI's `send` says nothing about how far the other side is; daphne's puts frames into a buffer
without bounds. Its transport can say when that buffer is full, so we ask it: then nothing more is
written, and nothing read either, until the other side has caught up.

Frames go to that transport directly too. The library in between, autobahn, takes most of a frame's
time to compose a coloured line for a log that is switched off, and cannot write several at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any

from autobahn.exception import Disconnected
from autobahn.websocket.protocol import WebSocketProtocol

Send = Callable[[dict[str, Any]], Awaitable[None]]

# More than any person or page sends, and what is let through after that.
FRAMES_AT_ONCE = 200
FRAMES_PER_SECOND = 100


class Outlet:
    """Sends frames no faster than they are taken. Used as a context manager.

    It is the transport's producer: Twisted calls `pauseProducing` when 64 KB wait to be sent.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._protocol = _protocol(send)
        self._transport = self._protocol and self._protocol.transport
        self._writable = asyncio.Event()
        self._writable.set()
        self._turn = asyncio.Lock()
        self._is_open = True

    async def send(self, *texts: str) -> None:
        """Send text frames, once there is room for them; nothing when the socket is gone."""
        async with self._turn:
            await self._writable.wait()
            if not self._is_open:
                return
            if self._protocol and self._protocol.state == WebSocketProtocol.STATE_OPEN:
                _write(self._transport, b"".join(map(text_frame, texts)))
                return
            try:
                for text in texts:
                    await self._send({"type": "websocket.send", "text": text})
            except Disconnected:  # it is closing, and ASGI has not said so yet
                self._is_open = False

    async def close(self, code: int) -> None:
        if self._is_open:
            await self._send({"type": "websocket.close", "code": code})

    def __enter__(self) -> Outlet:
        if self._transport is not None:
            self._transport.unregisterProducer()
            self._transport.registerProducer(self, True)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopProducing()
        if self._transport is not None:
            self._transport.unregisterProducer()

    async def hold_input(self, seconds: float) -> None:
        """Read nothing from the socket for a while."""
        if self._transport is not None:
            self._transport.pauseProducing()
        await asyncio.sleep(seconds)
        if self._transport is not None and self._writable.is_set():
            self._transport.resumeProducing()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._writable.clear()
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._writable.set()
        self._transport.resumeProducing()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._is_open = False
        self._writable.set()


class FrameBudget:
    """A token bucket: how long the next frame has to wait."""

    def __init__(self) -> None:
        self._left = float(FRAMES_AT_ONCE)
        self._at = monotonic()

    def take(self) -> float:
        """Seconds to wait before handling one more frame, mostly 0."""
        now = monotonic()
        self._left = min(FRAMES_AT_ONCE, self._left + (now - self._at) * FRAMES_PER_SECOND)
        self._at = now
        self._left -= 1
        return max(0.0, -self._left / FRAMES_PER_SECOND)


def text_frame(text: str) -> bytes:
    """A whole text message as a server sends it (RFC 6455, section 5.2)."""
    data = text.encode()
    size = len(data)
    if size < 126:
        return b"\x81%c%b" % (size, data)
    if size < 2**16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), data)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), data)


def _write(transport: Any, data: bytes) -> None:
    """Send what the system takes at once. Twisted by itself has the event loop wait for the socket,
    write in its next turn, and wait no more: a twentieth of what a message costs."""
    waiting = transport.dataBuffer or transport._tempDataBuffer  # noqa: SLF001 - nothing else says
    if not waiting:
        sent = transport.writeSomeData(data)
        # No number: the connection is lost, which Twisted finds out by itself.
        data = data[sent:] if isinstance(sent, int) else data
    if data:
        transport.write(data)


def _protocol(send: Send) -> Any:
    """daphne's end of the connection under its `send`; None with any other server."""
    protocol = send.args[0] if isinstance(send, partial) and send.args else None
    transport = getattr(protocol, "transport", None)
    return protocol if hasattr(transport, "registerProducer") else None
