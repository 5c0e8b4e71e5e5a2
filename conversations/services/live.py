"""A reply while it is being written: a numbered log of its pieces that any number can read.

One task writes the log, the engine's tokens as they come. Readers hold nothing but their place in
it, so a slow one costs no memory and delays nobody.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from itertools import accumulate
from uuid import UUID

from conversations.models import Message, Status
from conversations.services.events import (
    ReplyEnded,
    ReplyEvent,
    ReplyQueued,
    ReplyStarted,
    ReplyToken,
)


class LiveReply:
    """One run of one reply. Belongs to one event loop.

    Pieces that nobody has read yet are joined into one, so a reader that is behind gets fewer and
    longer ones and the numbers stay without gaps, the same for everybody.
    """

    def __init__(
        self,
        *,
        reply_id: int,
        conversation_id: UUID,
        client_id: UUID | None,
    ) -> None:
        self.reply_id = reply_id
        self.conversation_id = conversation_id
        self.client_id = client_id
        self.run_id = secrets.token_hex(8)
        self.pieces: list[str] = []
        self.position = 0  # in the engine's waiting line; 0: not in it
        self.started = False
        self.stop_requested = False
        self.ended: ReplyEnded | None = None
        self.is_ours = False  # whether this process generates it; else it is told by another one
        self.cancel: Callable[[], None] | None = None  # set while it is being generated here
        self.version = 0
        self._read = 0
        self._changed = asyncio.Event()

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def token_ends(self) -> list[int]:
        """Length of the text after each piece, in characters (code points)."""
        return list(accumulate(map(len, self.pieces)))

    def queue(self, position: int) -> None:
        self.position = position
        self._notify()

    def append(self, text: str) -> None:
        self.started = True
        if len(self.pieces) > self._read:
            self.pieces[-1] += text
        else:
            self.pieces.append(text)
        self._notify()

    def extend(self, first_seq: int, pieces: Sequence[str]) -> bool:
        """Add pieces that another process has numbered; False when some before them are missing."""
        missing = len(self.pieces) + 1 - first_seq
        if missing < 0:
            return False
        self.started = self.started or bool(pieces)
        self.pieces.extend(pieces[missing:])
        self._read = len(self.pieces)
        self._notify()
        return True

    def stop(self) -> None:
        """End it as stopped as soon as possible, or as soon as it begins."""
        self.stop_requested = True
        if self.cancel:
            self.cancel()

    def end(self, ended: ReplyEnded) -> None:
        self.ended = ended
        self._notify()

    def take(self, after_seq: int) -> list[str]:
        """The pieces after one; from now on they keep their numbers."""
        self._read = len(self.pieces)
        return self.pieces[after_seq:]

    async def change(self, seen: int) -> None:
        """Wait until there is a later `version` than the one seen."""
        if self.version == seen:
            await self._changed.wait()

    async def batches(self, after_seq: int = 0) -> AsyncGenerator[list[ReplyEvent], None]:
        """What happens from now on and every piece after `after_seq`, until the reply has ended.

        What can be told at once comes together.
        """
        position, started = 0, after_seq > 0
        while True:
            batch: list[ReplyEvent] = []
            if self.position not in {position, 0} and not self.started and not started:
                position = self.position
                batch.append(ReplyQueued(position))
            if self.started and not started:
                started = True
                batch.append(ReplyStarted())
            pieces = self.take(after_seq)
            batch += [ReplyToken(seq, text) for seq, text in enumerate(pieces, after_seq + 1)]
            after_seq += len(pieces)
            if self.ended:
                yield [*batch, self.ended]
                return
            if batch:
                yield batch
            else:
                await self.change(self.version)

    def _notify(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed.clear()


def stored_events(reply: Message, after_seq: int = 0) -> Iterator[ReplyEvent]:
    """What `LiveReply.batches` would have given, for a reply that has ended."""
    if reply.token_ends and after_seq == 0:
        yield ReplyStarted()
    starts = [0, *reply.token_ends]
    for seq in range(after_seq + 1, len(reply.token_ends) + 1):
        yield ReplyToken(seq, reply.text[starts[seq - 1] : starts[seq]])
    yield ReplyEnded(reply.text, Status(reply.status), reply.error_code)
