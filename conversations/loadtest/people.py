"""The people: each opens the page, keeps its cookie, connects the websocket and chats."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Self

import aiohttp

from conversations.loadtest.plan import Plan, Tally, Text
from conversations.loadtest.talk import SAYINGS, Talk

# Seconds for a page or a handshake; a reply has the plan's patience.
_OPENING = 30.0


class Crowd:
    """Plays a plan; what is seen goes into a tally. Used as a context manager: who came leaves."""

    def __init__(self, plan: Plan, tally: Tally) -> None:
        self.plan = plan
        self.tally = tally
        self._leaving = asyncio.Event()
        self._numbers = count(secrets.randbelow(10**6) * 1000)
        self._talks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._session.close()

    async def come(self) -> None:
        """All come, evenly over the ramp, and chat from then on; returns when all are there."""
        texting = round(self.plan.people * self.plan.sms_share)
        async with asyncio.TaskGroup() as group:
            for place in range(self.plan.people):
                group.create_task(self._come(place, texts=place < texting))

    async def leave(self) -> None:
        """Wait for the last replies and leave."""
        self._leaving.set()
        await asyncio.gather(*self._talks)

    async def _come(self, place: int, *, texts: bool) -> None:
        await asyncio.sleep(self.plan.ramp * place / self.plan.people)
        if texts and self.plan.text:
            self._begin(self._text(self.plan.text))
            return
        began = time.perf_counter()
        with self._noting():
            if socket := await self._open():
                self.tally.opening.append(time.perf_counter() - began)
                self._begin(self._chat(socket))

    def _begin(self, talk: Coroutine[Any, Any, None]) -> None:
        self._talks.add(asyncio.create_task(talk))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.tally.problem(f"connection: {type(error).__name__}")

    async def _open(self) -> aiohttp.ClientWebSocketResponse | None:
        """A new browser's page and websocket; None when there is no page for it."""
        session, timeout = self._session, aiohttp.ClientTimeout(total=_OPENING)
        url = self.plan.url.rstrip("/")
        async with session.get(f"{url}/", allow_redirects=False, timeout=timeout) as response:
            if response.status != 302:
                self.tally.problem("rate_limited" if response.status == 429 else "page not opened")
                return None
            page = response.headers["Location"]
            cookie = "; ".join(f"{m.key}={m.value}" for m in response.cookies.values())
        headers = {"Cookie": cookie, "Origin": url}
        async with session.get(f"{url}{page}", headers=headers, timeout=timeout) as response:
            await response.read()
        address = f"{url.replace('http', 'ws', 1)}/ws{page}"
        async with asyncio.timeout(_OPENING):
            return await session.ws_connect(address, headers=headers, compress=0, max_msg_size=0)

    async def _chat(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with self._noting():
            try:
                talk = Talk(socket, self.tally, self.plan.patience)
                await talk.go(self._leaving, self.plan.every)
            finally:
                await socket.close()

    async def _text(self, text: Callable[[str, str], Text]) -> None:
        sender = f"+1415{next(self._numbers) % 10**7:07d}"
        due = time.perf_counter() + random.uniform(0, self.plan.every)  # noqa: S311 - a pace
        while await _think(self._leaving, due):
            due = time.perf_counter() + random.expovariate(1 / self.plan.every)
            await self._text_one(text(sender, random.choice(SAYINGS)))  # noqa: S311

    async def _text_one(self, text: Text) -> None:
        counted, began = self.tally.counting, time.perf_counter()
        self.tally.sent += counted
        url = f"{self.plan.url.rstrip('/')}{text.path}"
        timeout = aiohttp.ClientTimeout(total=self.plan.patience)
        try:
            async with self._session.post(
                url, data=text.form, headers=text.headers, timeout=timeout
            ) as response:
                body = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            self.tally.lost += counted
            return
        if counted:
            self._count_text(text, response.status, body, time.perf_counter() - began)

    def _count_text(self, text: Text, status: int, body: str, seconds: float) -> None:
        answered = text.is_answered(body)
        if status == 200 and answered:
            self.tally.complete += 1
            self.tally.characters += len(body)
            self.tally.first_token.append(seconds)
            self.tally.reply.append(seconds)
        else:
            self.tally.failed += 1
            self.tally.problem(f"sms: status {status}, {'no ' * (not answered)}message")


async def _think(leaving: asyncio.Event, due: float) -> bool:
    """Wait until it is time to write; False when it is time to leave."""
    try:
        async with asyncio.timeout(max(0.0, due - time.perf_counter())):
            await leaving.wait()
    except TimeoutError:
        return True
    return False
