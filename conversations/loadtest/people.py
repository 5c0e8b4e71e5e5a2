"""The people: each opens the page, keeps its cookie, connects the websocket and chats."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from itertools import count
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
from twilio.request_validator import RequestValidator

from conversations.loadtest.plan import Plan, SmsPlan, Tally

_SAYINGS = (
    "Hello, how are you?", "What do you do for a living?", "Do you have any pets?",
    "I like to read in the evening.", "What did you do at the weekend?", "That sounds nice.",
    "Where do you live?", "Do you have a family?", "What music do you like?", "Tell me more!",
    "I had pizza for lunch today.", "Do you play any sports?", "Why is that?",
)  # fmt: skip
# Seconds for a page or a handshake; a reply has the plan's patience.
_OPENING = 30.0


class Crowd:
    """Plays a plan; what is seen goes into a tally."""

    def __init__(self, plan: Plan, tally: Tally) -> None:
        self.plan = plan
        self.tally = tally
        self._leaving = asyncio.Event()
        self._numbers = count(secrets.randbelow(10**6) * 1000)

    async def play(self) -> None:
        """Ramp up, chat for the plan's time, wait for the last replies, leave."""
        plan = self.plan
        texting = round(plan.people * plan.sms_share)
        connector = aiohttp.TCPConnector(limit=0)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
            people = [
                asyncio.create_task(self._person(session, place, texts=place < texting))
                for place in range(plan.people)
            ]
            await asyncio.sleep(plan.ramp)
            self.tally.start()
            await asyncio.sleep(plan.seconds)
            self._leaving.set()
            await asyncio.gather(*people)

    async def _person(self, session: aiohttp.ClientSession, place: int, *, texts: bool) -> None:
        await asyncio.sleep(self.plan.ramp * place / self.plan.people)
        try:
            if texts and self.plan.sms:
                await self._text(session, self.plan.sms)
            else:
                await self._chat(session)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.tally.problem(f"connection: {type(error).__name__}")

    async def _chat(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=_OPENING)
        url = self.plan.url.rstrip("/")
        async with session.get(f"{url}/", allow_redirects=False, timeout=timeout) as response:
            if response.status != 302:
                self.tally.problem("rate_limited" if response.status == 429 else "page not opened")
                return
            page = response.headers["Location"]
            cookie = "; ".join(f"{m.key}={m.value}" for m in response.cookies.values())
        headers = {"Cookie": cookie, "Origin": url}
        async with session.get(f"{url}{page}", headers=headers, timeout=timeout) as response:
            await response.read()
        address = f"{url.replace('http', 'ws', 1)}/ws{page}"
        async with session.ws_connect(
            address, headers=headers, compress=0, max_msg_size=0
        ) as socket:
            await _Talk(socket, self.tally, self.plan.patience).go(self._leaving, self.plan.every)

    async def _text(self, session: aiohttp.ClientSession, sms: SmsPlan) -> None:
        sender = f"+1415{next(self._numbers) % 10**7:07d}"
        due = time.perf_counter() + random.uniform(0, self.plan.every)  # noqa: S311 - a pace
        while await _think(self._leaving, due):
            due = time.perf_counter() + random.expovariate(1 / self.plan.every)
            await self._text_one(session, sms, sender)

    async def _text_one(self, session: aiohttp.ClientSession, sms: SmsPlan, sender: str) -> None:
        form = {
            "MessageSid": f"SM{secrets.token_hex(16)}",
            "AccountSid": f"AC{'0' * 32}",
            "From": sender,
            "To": sms.to,
            "Body": random.choice(_SAYINGS),  # noqa: S311
            "NumMedia": "0",
        }
        public = sms.public_url or self.plan.url
        signature = RequestValidator(sms.token).compute_signature(
            f"{public.rstrip('/')}{sms.path}", form
        )
        place = urlsplit(public)
        headers = {
            "X-Twilio-Signature": signature,
            "Host": place.netloc,
            "X-Forwarded-Proto": place.scheme,
        }
        counted, began = self.tally.counting, time.perf_counter()
        self.tally.sent += counted
        url = f"{self.plan.url.rstrip('/')}{sms.path}"
        timeout = aiohttp.ClientTimeout(total=self.plan.patience)
        try:
            async with session.post(url, data=form, headers=headers, timeout=timeout) as response:
                body = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            self.tally.lost += counted
            return
        if counted:
            self._count_text(response.status, body, time.perf_counter() - began)

    def _count_text(self, status: int, body: str, seconds: float) -> None:
        if status == 200 and "<Message" in body:
            self.tally.complete += 1
            self.tally.characters += len(body)
            self.tally.first_token.append(seconds)
            self.tally.reply.append(seconds)
        else:
            self.tally.failed += 1
            self.tally.problem(f"sms: status {status}, {'no ' * ('<Message' not in body)}message")


class _Talk:
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
            await self._say(random.choice(_SAYINGS))  # noqa: S311

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


async def _think(leaving: asyncio.Event, due: float) -> bool:
    """Wait until it is time to write; False when it is time to leave."""
    try:
        async with asyncio.timeout(max(0.0, due - time.perf_counter())):
            await leaving.wait()
    except TimeoutError:
        return True
    return False
