"""The websocket of a chat page: frames in, services, frames out."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from itertools import accumulate
from typing import Any
from uuid import UUID

from django.db import Error

from conversations import metrics, protocol
from conversations.flow import FrameBudget, Outlet, Send
from conversations.models import UNFINISHED, Conversation, Message, Role, Status
from conversations.selectors import (
    conversation_belongs_to,
    conversation_for_reader,
    conversation_messages,
    reply_exists,
)
from conversations.services.database import db_read
from conversations.services.errors import ServiceError, StorageUnavailable
from conversations.services.events import (
    ConversationReset,
    MessageSaved,
    ReplyBegins,
    ReplyEnded,
    RoomEvent,
)
from conversations.services.owners import Owner, client_address, owner_from_scope
from conversations.services.replies import (
    ReplyUnknown,
    conversation_renew,
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

Receive = Callable[[], Awaitable[dict[str, Any]]]


async def chat_consumer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """ASGI application of `/ws/c/<uuid>/`. Who may not read the conversation is refused (403)."""
    await receive()  # websocket.connect
    found = await db_read(_authorize, scope, scope["url_route"]["kwargs"]["conversation_id"])
    if found is None:
        await send({"type": "websocket.close", "code": 4404})
        return
    await send({"type": "websocket.accept"})
    with Outlet(send) as outlet, metrics.websocket_connections.track_inprogress():
        await ChatSocket(*found, client_address(scope), outlet).serve(receive)


async def refuse(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """ASGI application of every other websocket address."""
    await receive()
    await send({"type": "websocket.close", "code": 4404})


class ChatSocket:
    """One open socket.

    Frames are handled in turn. What happens in the conversation is sent by tasks of the socket's
    own; they end with it, the replies that they follow do not.
    """

    def __init__(
        self, conversation: Conversation, owner: Owner, address: str, outlet: Outlet
    ) -> None:
        self.conversation = conversation
        self.owner = owner
        self.address = address
        self.outlet = outlet
        self._heard: deque[RoomEvent] = deque()
        self._teller: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._following: dict[int, asyncio.Task[None]] = {}
        self._known = -1  # id of the last message that the state frame had; -1 before that frame

    async def serve(self, receive: Receive) -> None:
        """Run until the other side is gone."""
        rooms = Rooms.here()
        room = await rooms.join(self.conversation.pk, self)
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
        finally:
            self._teller = None

    def _give_up(self) -> None:
        """Close the socket of a reader that is too far behind."""
        if self._closing is None:
            self._closing = asyncio.create_task(self.outlet.close(TRY_AGAIN_LATER))

    async def _tell_one(self, event: RoomEvent) -> None:
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
                conversation_messages, conversation_id=self.conversation.pk, last=STATE_MESSAGES
            )
        )
        live = Rooms.here().replies
        seen = {m.pk: len(live[m.pk].pieces) if m.pk in live else 0 for m in messages}
        state = protocol.build_state(self.conversation.pk, messages, live)
        for message in messages:
            if message.role == Role.BOT and message.status in UNFINISHED:
                self._follow(message.pk, seen[message.pk])
        self._known = messages[-1].pk if messages else 0
        self._heard = deque(
            event
            for event in self._heard
            if not (isinstance(event, ReplyBegins) and event.reply_id <= self._known)
        )
        await self.outlet.send(state)
        if self._heard:
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
            logger.exception("conversation %s: a frame failed", self.conversation.pk)
            failure = StorageUnavailable() if isinstance(error, Error) else protocol.Unexpected()
            await self.outlet.send(protocol.build_error(failure, client_id=client_id))

    async def _carry_out(self, frame: protocol.ClientFrame) -> None:
        match frame:
            case protocol.Ping():
                await self.outlet.send(protocol.build_pong())
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
        if frame.text.strip().lower() == "/reset":
            await self._reset()
            return
        exchange = await message_post(
            conversation=self.conversation,
            text=frame.text,
            client_id=frame.client_uuid,
            owner=self.owner,
            address=self.address,
            sender=self,
        )
        saved = MessageSaved(exchange.message.pk, frame.client_uuid, exchange.message.text)
        await self.outlet.send(protocol.build_saved(saved, client_id=frame.client_id))

    async def _reset(self) -> None:
        await conversation_renew(
            conversation=self.conversation, owner=self.owner, address=self.address
        )

    def _check_may_write(self) -> None:
        if not conversation_belongs_to(conversation=self.conversation, owner=self.owner):
            raise protocol.FrameError(
                "invalid", "This is somebody else's conversation: you can read it, not write in it."
            )

    async def _check_is_here(self, reply_id: int) -> None:
        live = Rooms.here().live(reply_id)
        if live and live.conversation_id == self.conversation.pk:
            return
        if not await db_read(reply_exists, reply_id=reply_id, conversation_id=self.conversation.pk):
            raise ReplyUnknown


def _authorize(scope: dict[str, Any], conversation_id: UUID) -> tuple[Conversation, Owner] | None:
    owner = owner_from_scope(scope)
    conversation = conversation_for_reader(conversation_id=conversation_id, owner=owner)
    return (conversation, owner) if conversation else None


def _newest(messages: list[Message]) -> list[Message]:
    """The newest messages that fit the first frame together."""
    sizes = accumulate(len(message.text) for message in reversed(messages))
    number = sum(size <= STATE_CHARACTERS for size in sizes)
    return messages[len(messages) - max(number, 1) :] if messages else []
