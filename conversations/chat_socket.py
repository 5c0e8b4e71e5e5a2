"""One open websocket: frames in, services, frames out."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import accumulate
from time import monotonic
from typing import Any

from django.db import Error

from conversations import protocol
from conversations.flow import FrameBudget, Outlet
from conversations.models import RETRIABLE, UNFINISHED, Conversation, Message, Role, Status
from conversations.selectors import (
    conversation_belongs_to,
    conversation_messages,
    reply_exists,
)
from conversations.services.conversations import conversation_renew
from conversations.services.database import db_read
from conversations.services.errors import ServiceError, StorageUnavailable
from conversations.services.events import (
    ConversationReset,
    MessageSaved,
    ReplyBegins,
    ReplyEnded,
    RoomEvent,
)
from conversations.services.owners import Owner
from conversations.services.replies import (
    ReplyUnknown,
    asks_for_reset,
    message_post,
    reply_batches,
    reply_stop,
)
from conversations.services.rooms import Rooms

logger = logging.getLogger(__name__)

# The page has everything in its HTML. The first frame has the newest messages, and stays under the
# megabyte that daphne and most clients take.
STATE_MESSAGES = 500
STATE_CHARACTERS = 150_000
# Events (not tokens) that wait for a reader; one further behind had better connect again.
MAX_WAITING_EVENTS = 100
TRY_AGAIN_LATER = 1013
NOT_FOUND = 4404
# People sign out and lose rights while a socket is open: it asks anew who they are this often.
RIGHTS_SECONDS = 30.0

Receive = Callable[[], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Reader:
    """Who a socket is open for, and what they read."""

    conversation: Conversation
    owner: Owner
    address: str


class ChatSocket:
    """One open socket.

    Frames are handled in turn. What happens in the conversation is sent by tasks of the socket's
    own; they end with it, the replies that they follow do not.
    """

    def __init__(
        self,
        reader: Reader,
        identify: Callable[[], Awaitable[Reader | None]],
        outlet: Outlet,
    ) -> None:
        self.reader = reader
        self.conversation_id = reader.conversation.pk
        self.outlet = outlet
        self._identify = identify
        self._identify_at = monotonic() + RIGHTS_SECONDS
        self._heard: deque[RoomEvent] = deque()
        self._teller: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._following: dict[int, asyncio.Task[None]] = {}
        self._known = -1  # id of the last message that the state frame had; -1 before that frame

    async def serve(self, receive: Receive) -> None:
        """Run until the other side is gone."""
        rooms = Rooms.here()
        room = await rooms.join(self.conversation_id, self)
        try:
            await self._send_state()
            budget = FrameBudget()
            while (message := await receive())["type"] == "websocket.receive":
                if wait := budget.take():
                    await self.outlet.hold_input(wait)
                await self._handle(message.get("text"))
        finally:
            rooms.leave(room, self)
            for task in [*self._following.values(), self._teller]:
                if task:
                    task.cancel()

    def hear(self, event: RoomEvent) -> None:
        """Take note of something that happened in the conversation; it is sent in turn."""
        if self._closing:
            return
        if len(self._heard) >= MAX_WAITING_EVENTS:
            self._give_up()
            return
        self._heard.append(event)
        if self._known >= 0 and self._teller is None:
            self._teller = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        try:
            while self._heard:
                await self._tell_one(self._heard.popleft())
        except Exception:  # a database that failed, most likely: the event is lost
            logger.exception("conversation %s: an event was not told", self.conversation_id)
            self._give_up()
        finally:
            self._teller = None

    def _give_up(self) -> None:
        """Close the socket of a reader who has missed something, or is too far behind.

        They connect again, and the state frame has it.
        """
        self._heard.clear()
        if self._closing is None:
            self._closing = asyncio.create_task(self.outlet.close(TRY_AGAIN_LATER))

    async def _tell_one(self, event: RoomEvent) -> None:
        if not await self._may_read():
            return
        match event:
            case ReplyBegins(reply_id):
                if reply_id not in self._following:
                    self._follow(reply_id, 0)
            case MessageSaved(message_id):
                if message_id > self._known:
                    await self.outlet.send(protocol.build_saved(event))
            case ConversationReset():
                await self.outlet.send(protocol.build_reset(event))

    async def _send_state(self) -> None:
        messages = _newest(
            await db_read(
                conversation_messages,
                conversation_id=self.conversation_id,
                last=STATE_MESSAGES,
            )
        )
        live = Rooms.here().replies
        seen = {m.pk: len(live[m.pk].pieces) if m.pk in live else 0 for m in messages}
        state = protocol.build_state(self.conversation_id, messages, live)
        for message in messages:
            if message.role == Role.BOT and message.status in UNFINISHED:
                self._follow(message.pk, seen[message.pk])
        self._known = messages[-1].pk if messages else 0
        # A reply that had failed may have begun again while its row was being read.
        told = {message.pk for message in messages if message.status not in RETRIABLE}
        self._heard = deque(
            event
            for event in self._heard
            if not (isinstance(event, ReplyBegins) and event.reply_id in told)
        )
        await self.outlet.send(state)
        if self._heard and self._teller is None:
            self._teller = asyncio.create_task(self._tell())

    def _follow(self, reply_id: int, after_seq: int) -> None:
        if earlier := self._following.pop(reply_id, None):
            earlier.cancel()
        task = asyncio.create_task(self._stream(reply_id, after_seq))
        self._following[reply_id] = task
        task.add_done_callback(lambda done: self._followed(reply_id, done))

    def _followed(self, reply_id: int, task: asyncio.Task[None]) -> None:
        if self._following.get(reply_id) is task:
            del self._following[reply_id]
        if not task.cancelled() and (error := task.exception()):
            logger.error("reply %s cannot be followed", reply_id, exc_info=error)
            self._give_up()

    async def _stream(self, reply_id: int, after_seq: int) -> None:
        live = Rooms.here().live(reply_id)
        client_id = str(live.client_id) if live and live.client_id else None
        async with aclosing(reply_batches(reply_id=reply_id, after_seq=after_seq)) as batches:
            async for batch in batches:
                frames = [protocol.build_reply(reply_id, event) for event in batch]
                last = batch[-1]
                if isinstance(last, ReplyEnded) and last.status == Status.FAILED:
                    failure = protocol.reply_failure(last)
                    frames.insert(-1, protocol.build_error(failure, client_id=client_id))
                await self.outlet.send(*frames)

    async def _handle(self, text: str | None) -> None:
        client_id = None
        try:
            frame = protocol.parse_frame(text)
            if isinstance(frame, protocol.MessageSend):
                client_id = frame.client_id
            await self._carry_out(frame)
        except ServiceError as error:
            client_id = getattr(error, "client_id", client_id)
            await self.outlet.send(protocol.build_error(error, client_id=client_id))
        except Exception as error:  # the socket stays usable whatever happens
            logger.exception("conversation %s: a frame failed", self.conversation_id)
            failure = StorageUnavailable() if isinstance(error, Error) else protocol.Unexpected()
            await self.outlet.send(protocol.build_error(failure, client_id=client_id))

    async def _carry_out(self, frame: protocol.ClientFrame) -> None:
        if isinstance(frame, protocol.Ping):
            await self.outlet.send(protocol.build_pong())
            return
        if not await self._may_read():
            return
        match frame:
            case protocol.MessageSend():
                self._check_may_write()
                await self._message_send(frame)
            case protocol.ReplyStop():
                self._check_may_write()
                await self._check_is_here(int(frame.message_id))
                await reply_stop(reply_id=int(frame.message_id))
            case protocol.ReplyResume():
                await self._check_is_here(int(frame.message_id))
                self._follow(int(frame.message_id), frame.after_seq)
            case protocol.Reset():
                self._check_may_write()
                await self._reset()

    async def _message_send(self, frame: protocol.MessageSend) -> None:
        if asks_for_reset(frame.text):
            await self._reset()
            return
        exchange = await message_post(
            conversation=self.reader.conversation,
            text=frame.text,
            client_id=frame.client_uuid,
            owner=self.reader.owner,
            address=self.reader.address,
            sender=self,
        )
        saved = MessageSaved(exchange.message.pk, frame.client_uuid, exchange.message.text)
        await self.outlet.send(protocol.build_saved(saved, client_id=frame.client_id))

    async def _reset(self) -> None:
        await conversation_renew(
            conversation=self.reader.conversation,
            owner=self.reader.owner,
            address=self.reader.address,
        )

    async def _may_read(self) -> bool:
        """Whether whoever opened the socket still is let in; if not, it is closed."""
        if monotonic() < self._identify_at:
            return True
        reader = await self._identify()
        if reader is None:
            await self.outlet.close(NOT_FOUND)
            return False
        self.reader, self._identify_at = reader, monotonic() + RIGHTS_SECONDS
        return True

    def _check_may_write(self) -> None:
        if not conversation_belongs_to(
            conversation=self.reader.conversation, owner=self.reader.owner
        ):
            raise protocol.FrameError(
                "invalid", "This is somebody else's conversation: you can read it, not write in it."
            )

    async def _check_is_here(self, reply_id: int) -> None:
        live = Rooms.here().live(reply_id)
        if live and live.conversation_id == self.conversation_id:
            return
        if not await db_read(reply_exists, reply_id=reply_id, conversation_id=self.conversation_id):
            raise ReplyUnknown


def _newest(messages: list[Message]) -> list[Message]:
    """The newest messages that fit the first frame together."""
    sizes = accumulate(len(message.text) for message in reversed(messages))
    number = sum(size <= STATE_CHARACTERS for size in sizes)
    return messages[len(messages) - max(number, 1) :] if messages else []
