"""One open websocket: a message now and then, and what comes back."""

from __future__ import annotations

import asyncio
import json
import random
import time
from uuid import uuid4

import aiohttp

from conversations.loadtest.plan import Tally

SAYINGS = (
    "Hello, how are you?", "What do you do for a living?", "Do you have any pets?",
    "I like to read in the evening.", "What did you do at the weekend?", "That sounds nice.",
    "Where do you live?", "Do you have a family?", "What music do you like?", "Tell me more!",
    "I had pizza for lunch today.", "Do you play any sports?", "Why is that?",
)  # fmt: skip


class Talk:
    """One open websocket."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, tally: Tally, patience: float
    ) -> None:
        self.socket = socket
        self.tally = tally
        self.patience = patience

    async def go(self, leaving: asyncio.Event, every: float) -> None:
        due = time.perf_counter() + random.uniform(0, every)  # noqa: S311
        # A closed socket is noticed at once, and the server's pings are answered while thinking.
        while await self._idle(leaving, due):
            due = time.perf_counter() + random.expovariate(1 / every)
            await self._say(random.choice(SAYINGS))  # noqa: S311

    async def _idle(self, leaving: asyncio.Event, due: float) -> bool:
        left = asyncio.create_task(leaving.wait())
        reading = asyncio.create_task(self._drain())
        try:
            wait = max(0.0, due - time.perf_counter())
            await asyncio.wait({left, reading}, timeout=wait, return_when="FIRST_COMPLETED")
            if reading.done():
                reading.result()
            return not leaving.is_set()
        finally:
            left.cancel()
            reading.cancel()
            await asyncio.gather(left, reading, return_exceptions=True)

    async def _drain(self) -> None:
        while True:
            await self._receive()

    async def _receive(self) -> dict[str, str]:
        message = await self.socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise aiohttp.ClientConnectionError("the server closed the socket")
        frame: dict[str, str] = json.loads(message.data)
        return frame

    async def _say(self, text: str) -> None:
        counted, began = self.tally.counting, time.perf_counter()
        self.tally.sent += counted
        frame = {"type": "message.send", "client_id": str(uuid4()), "text": text}
        try:
            async with asyncio.timeout(self.patience):
                await self.socket.send_str(json.dumps(frame))
                await self._hear(began, counted=counted)
        except TimeoutError:
            self.tally.lost += counted
        except aiohttp.ClientError:
            self.tally.lost += counted
            raise

    async def _hear(self, began: float, *, counted: bool) -> None:
        first = None
        while True:
            frame = await self._receive()
            self.tally.frames += counted
            match frame["type"]:
                case "reply.token" if first is None:
                    first = time.perf_counter() - began
                case "error":
                    self.tally.problem(frame["code"])
                    # A busy server ends the reply as failed; after other errors there is none.
                    if frame["code"] != "busy":
                        self.tally.failed += counted
                        return
                case "reply.end":
                    if counted:
                        self._count(frame, first, time.perf_counter() - began)
                    return

    def _count(self, frame: dict[str, str], first: float | None, seconds: float) -> None:
        if frame["status"] != "complete" or first is None:
            self.tally.failed += 1
            return
        self.tally.complete += 1
        self.tally.characters += len(frame["text"])
        self.tally.first_token.append(first)
        self.tally.reply.append(seconds)
