"""What this process knows of the conversations that somebody follows or that are being answered.

A room carries a conversation's events to its listeners and runs its replies one after the other.
Reply tasks belong to rooms, never to a socket or a request: they go on when those leave.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import chain, repeat
from typing import ClassVar, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import Error

from conversations.models import UNFINISHED, Status
from conversations.services.database import db_write
from conversations.services.events import ReplyBegins, ReplyEnded, ReplyToken, RoomEvent
from conversations.services.generation import (
    Claim,
    Elsewhere,
    Outcome,
    reply_claim,
    reply_count,
    reply_generate,
    reply_look,
    reply_store,
)
from conversations.services.live import LiveReply, stored_events
from conversations.services.relay import Relay

logger = logging.getLogger(__name__)

# How often to look after a reply that another process writes when nothing is heard of it.
LOOK_SECONDS = 2.0
STORE_RETRY_SECONDS = (0.5, 1, 2, 5, 10, 30)


class Listener(Protocol):
    """Somebody who follows a conversation."""

    def hear(self, event: RoomEvent) -> None: ...


class Room:
    """One conversation in this process."""

    def __init__(self, rooms: Rooms, conversation_id: UUID) -> None:
        self.rooms = rooms
        self.conversation_id = conversation_id
        self.listeners: set[Listener] = set()
        self.replies: dict[int, LiveReply] = {}
        self.ended_runs: list[str] = []
        self.running: Outcome | None = None
        self.worker: asyncio.Task[None] | None = None

    def announce(self, event: RoomEvent, *, besides: Listener | None = None) -> None:
        """Tell all listeners in this process, except the one who did it."""
        for listener in self.listeners - {besides}:
            listener.hear(event)

    def reply(self, reply_id: int, client_id: UUID | None = None) -> LiveReply:
        """The log of a reply that is not finished; a new one is announced."""
        live = self.replies.get(reply_id)
        if live is None:
            live = self.replies[reply_id] = LiveReply(
                reply_id=reply_id, conversation_id=self.conversation_id, client_id=client_id
            )
            self.rooms.replies[reply_id] = live
            self.announce(ReplyBegins(reply_id))
        return live

    def end(self, live: LiveReply, ended: ReplyEnded) -> None:
        self.replies.pop(live.reply_id, None)
        self.rooms.replies.pop(live.reply_id, None)
        self.ended_runs = [*self.ended_runs[-7:], live.run_id]
        live.end(ended)

    def work(self) -> None:
        """See to it that every reply of this room gets finished."""
        if self.worker is None:
            self.worker = asyncio.create_task(self._work())
            self.worker.add_done_callback(self._worked)

    def _worked(self, worker: asyncio.Task[None]) -> None:
        self.worker = None
        if not worker.cancelled() and (error := worker.exception()):
            logger.error("conversation %s: work failed", self.conversation_id, exc_info=error)
            for live in list(self.replies.values()):
                self.end(live, ReplyEnded(live.text, Status.FAILED, "engine_unavailable"))
        if self.replies and not worker.cancelled():
            self.work()  # one that came between the worker's last look and now
        self.rooms.tidy(self)

    async def _work(self) -> None:
        await self.rooms.relay.join(self.conversation_id)
        while self.replies:
            try:
                await self.rooms.store_unstored()
                claim = await db_write(reply_claim, conversation_id=self.conversation_id)
                await self._handle(claim)
            except Error:
                logger.exception("conversation %s: no reply can be begun", self.conversation_id)
                # Their rows stay as they are: sent again, or looked at again, they are begun again.
                for live in list(self.replies.values()):
                    self.end(live, Outcome(live).not_stored())

    async def _handle(self, claim: Claim | Elsewhere | None) -> None:
        match claim:
            case Claim():
                await self._run(claim)
            case Elsewhere():
                await self._watch(self.reply(claim.reply_id))
            case None:
                for live in list(self.replies.values()):
                    await self._watch(live)

    async def _run(self, claim: Claim) -> None:
        live = self.reply(claim.reply_id)
        live.is_ours = True
        self.rooms.relay.publish(live)
        self.running = outcome = Outcome(live)
        await reply_generate(outcome, claim)
        try:
            await db_write(reply_store, outcome)
            reply_count(outcome)
            self.end(live, outcome.ending())
        except Error:
            logger.exception(
                "reply %s of conversation %s was not stored", live.reply_id, self.conversation_id
            )
            ended = outcome.not_stored()
            reply_count(outcome)
            self.rooms.store_later(outcome)
            self.end(live, ended)
        finally:
            self.running = None
        if (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError

    async def _watch(self, live: LiveReply) -> None:
        """Follow a reply that another process writes for a while: by what it tells, by its row."""
        row = await db_write(reply_look, reply_id=live.reply_id)
        if live.ended:
            return
        if row is None:
            self.end(live, ReplyEnded(live.text, Status.INTERRUPTED))
        elif row.status not in UNFINISHED:
            for event in stored_events(row, len(live.pieces)):
                if isinstance(event, ReplyToken):
                    live.extend(event.seq, [event.text])
            self.end(live, ReplyEnded(row.text, Status(row.status), row.error_code))
        else:
            self.rooms.relay.ask(live)
            await _ended_within(live, LOOK_SECONDS)


async def _ended_within(live: LiveReply, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not live.ended:
                await live.change(live.version)
    except TimeoutError:
        pass


class Rooms:
    """All rooms of one event loop; a server process has one loop."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Rooms]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._rooms: dict[UUID, Room] = {}
        self.replies: dict[int, LiveReply] = {}
        self._unstored: list[Outcome] = []  # never many: without a database no reply begins
        self._storing: asyncio.Task[None] | None = None
        self.relay = Relay(self)

    @classmethod
    def here(cls) -> Rooms:
        """The rooms of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls()
        return cls._of_loop[loop]

    @classmethod
    def everywhere(cls) -> list[Rooms]:
        return list(cls._of_loop.values())

    def get(self, conversation_id: UUID) -> Room | None:
        return self._rooms.get(conversation_id)

    def ids(self) -> list[UUID]:
        """The conversations of all rooms."""
        return list(self._rooms)

    def live(self, reply_id: int) -> LiveReply | None:
        """The log of a reply that is under way, if this process has it."""
        return self.replies.get(reply_id)

    def open(self, conversation_id: UUID) -> Room:
        if conversation_id not in self._rooms:
            self._rooms[conversation_id] = Room(self, conversation_id)
        return self._rooms[conversation_id]

    async def join(self, conversation_id: UUID, listener: Listener) -> Room:
        """Follow a conversation; `leave` when done."""
        room = self.open(conversation_id)
        room.listeners.add(listener)
        await self.relay.join(conversation_id)
        return room

    def leave(self, room: Room, listener: Listener) -> None:
        room.listeners.discard(listener)
        self.tidy(room)

    def tidy(self, room: Room) -> None:
        """Forget a room that nobody needs any more."""
        is_open = self._rooms.get(room.conversation_id) is room
        if is_open and not room.listeners and not room.worker:
            del self._rooms[room.conversation_id]
            self.relay.leave(room.conversation_id)

    def store_later(self, outcome: Outcome) -> None:
        """Keep trying to store how a reply ended, so that its row does not stay unfinished."""
        self._unstored.append(outcome)
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store())

    async def _store(self) -> None:
        for delay in chain(STORE_RETRY_SECONDS, repeat(STORE_RETRY_SECONDS[-1])):
            await asyncio.sleep(delay)
            try:
                await self.store_unstored()
            except Error:
                continue
            return

    async def store_unstored(self) -> None:
        """Store what could not be stored before; raises the database's error if it still cannot."""
        while self._unstored:
            outcome = self._unstored.pop()
            try:
                await db_write(reply_store, outcome)
            except BaseException:
                self._unstored.append(outcome)
                raise

    def running(self) -> list[Outcome]:
        """The replies that this process is writing."""
        return [room.running for room in self._rooms.values() if room.running]
