"""How the server processes tell each other about a conversation, over the channel layer.

Every process has one mailbox. While it has a room for a conversation the mailbox is in the group
`conversation.<uuid hex>`; the process that writes a reply sends its log there in batches. A process
that comes late, or missed something, asks for the log from its beginning. Nothing depends on a
message arriving: who hears nothing looks at the reply's row.

With the in-memory layer there is no other process, and nothing is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from channels.layers import InMemoryChannelLayer, get_channel_layer

from conversations.models import Status
from conversations.services.events import (
    ConversationReset,
    MessageSaved,
    ReplyEnded,
    RoomEvent,
)
from conversations.services.live import LiveReply

if TYPE_CHECKING:
    from conversations.services.rooms import Room, Rooms

logger = logging.getLogger(__name__)

# Several tokens travel together; nobody sees the difference of a few hundredths of a second.
BATCH_SECONDS = 0.03
RECONNECT_SECONDS = 1.0
# A Redis that takes longer to be told something is as good as gone; a reply does not wait for it.
TELL_SECONDS = 2.0


class Relay:
    """One event loop's connection to the other processes."""

    def __init__(self, rooms: Rooms) -> None:
        self._layer: Any = get_channel_layer()
        self._alone = isinstance(self._layer, InMemoryChannelLayer)
        self._rooms = rooms
        self._mailbox = ""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def join(self, conversation_id: UUID) -> None:
        """Hear what other processes tell about a conversation."""
        if self._alone:
            return
        if not self._mailbox:
            self._mailbox = await self._layer.new_channel("chatbot")
            self._spawn(self._read())
        await self._attempt(self._add(conversation_id))

    def leave(self, conversation_id: UUID) -> None:
        if not self._alone:
            self._spawn(self._leave(conversation_id))

    def announce(self, conversation_id: UUID, event: MessageSaved | ConversationReset) -> None:
        """Pass an event on to the listeners of other processes."""
        if self._alone:
            return
        self._tell(conversation_id, kind=type(event).__name__, event=_plain(asdict(event)))

    def stop(self, live: LiveReply) -> None:
        """Ask the process that writes a reply to stop it."""
        self._tell(live.conversation_id, kind="stop", reply=live.reply_id)

    def ask(self, live: LiveReply) -> None:
        """Ask the process that writes a reply for its whole log."""
        self._tell(live.conversation_id, kind="ask", reply=live.reply_id)

    def publish(self, live: LiveReply) -> None:
        """Tell the others how a reply of ours goes on, to its end."""
        if not self._alone:
            self._spawn(self._publish(live))

    def _tell(self, conversation_id: UUID, **message: Any) -> None:
        if not self._alone:
            self._spawn(self._send(conversation_id, message))

    async def _publish(self, live: LiveReply) -> None:
        told, seen = 0, -1
        while not (live.ended and seen == live.version):
            seen = live.version
            pieces = live.take(told)
            await self._send(live.conversation_id, _log(live, told + 1, pieces))
            told += len(pieces)
            if not live.ended:
                await asyncio.sleep(BATCH_SECONDS)
                await live.change(seen)

    async def _leave(self, conversation_id: UUID) -> None:
        await self._attempt(self._layer.group_discard(_group(conversation_id), self._mailbox))
        if self._rooms.get(conversation_id):  # opened again meanwhile
            await self.join(conversation_id)

    async def _send(self, conversation_id: UUID, message: dict[str, Any]) -> None:
        message |= {"conversation": conversation_id.hex, "from": self._mailbox}
        await self._attempt(self._layer.group_send(_group(conversation_id), message))

    async def _read(self) -> None:
        while True:
            try:
                message = await self._layer.receive(self._mailbox)
            except Exception:  # the layer's own errors: it is gone for a while
                logger.exception("nothing can be heard from other processes")
                await self._join_again()
                continue
            try:
                self._hear(message)
            except Exception:  # another process may be of another version; the next is heard
                logger.exception("a message of another process cannot be understood")

    def _hear(self, message: dict[str, Any]) -> None:
        room = self._rooms.get(UUID(message["conversation"]))
        if room is None or message["from"] == self._mailbox:
            return
        match message["kind"]:
            case "MessageSaved" | "ConversationReset":
                room.announce(_event(message))
            case "log":
                _follow(room, message)
            case "stop" | "ask" as kind:
                live = room.replies.get(message["reply"])
                if live is None or not live.is_ours:
                    return
                if kind == "stop":
                    live.stop()
                else:
                    answer = _log(live, 1, live.take(0))
                    answer |= {"conversation": room.conversation_id.hex, "from": self._mailbox}
                    self._spawn(self._attempt(self._layer.send(message["from"], answer)))

    async def _join_again(self) -> None:
        """A Redis that has been started anew knows nothing of who listens to what."""
        left = self._rooms.ids()
        while True:
            await asyncio.sleep(RECONNECT_SECONDS)
            while left and await self._attempt(self._add(left[-1])):
                left.pop()
            if not left:
                return

    def _add(self, conversation_id: UUID) -> Coroutine[Any, Any, None]:
        added: Coroutine[Any, Any, None] = self._layer.group_add(
            _group(conversation_id), self._mailbox
        )
        return added

    async def _attempt(self, call: Coroutine[Any, Any, None]) -> bool:
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await call
        except Exception:  # whatever the layer raises: the people connected here are served on
            logger.exception("other processes cannot be reached")
            return False
        return True

    def _spawn(self, call: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _group(conversation_id: UUID) -> str:
    return f"conversation.{conversation_id.hex}"


def _log(live: LiveReply, first_seq: int, pieces: list[str]) -> dict[str, Any]:
    """A part of a reply's log, and how the reply stands."""
    return {
        "kind": "log",
        "reply": live.reply_id,
        "run": live.run_id,
        "client_id": live.client_id.hex if live.client_id else "",
        "position": live.position,
        "first_seq": first_seq,
        "pieces": pieces,
        "ended": _plain(asdict(live.ended)) if live.ended else None,
    }


def _follow(room: Room, message: dict[str, Any]) -> None:
    """Write another process's log into our copy of it."""
    if message["run"] in room.ended_runs:
        return
    client_id = message["client_id"]
    live = room.reply(message["reply"], UUID(client_id) if client_id else None)
    live.run_id = message["run"]
    if message["position"] and not live.started:
        live.queue(message["position"])
    complete = live.extend(message["first_seq"], message["pieces"])
    if not complete:
        room.rooms.relay.ask(live)
    elif message["ended"]:
        ended = message["ended"]
        room.end(live, ReplyEnded(**{**ended, "status": Status(ended["status"])}))
    else:
        room.work()  # which looks after it should its process fall silent


def _event(message: dict[str, Any]) -> RoomEvent:
    values = message["event"]
    if message["kind"] == "MessageSaved":
        return MessageSaved(**{**values, "client_id": UUID(values["client_id"])})
    return ConversationReset(UUID(values["conversation_id"]))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that every layer can carry."""
    return {key: str(v) if isinstance(v, UUID | Status) else v for key, v in values.items()}
