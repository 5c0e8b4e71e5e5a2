"""Who runs next. Pure policy: it moves requests between a queue and slots and calls no model.

Decoding sequences always sit in slots 0..B-1, because one call of the model decodes a prefix of the
slots. When one of them leaves, the last takes its place: a `Move` tells the runner to copy that
slot. At most one prompt is being filled in at a time, in a slot above them; each step gives it a
bounded number of tokens, so that a long prompt holds the others up by no more than that. Requests
are admitted in the order they came, so that none can starve: one that needs several slots waits at
the head of the line until so many are free, and nobody overtakes it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from inference.sequence import Phase, TokenSequence

# A prompt token takes a sixth of one chat's step, and about half of a reply's share of a larger
# batch's, so this many hold the others up by two to five steps.
PREFILL_PER_REPLY = 8
PREFILL_LEAST, PREFILL_MOST = 16, 128

S = TypeVar("S", bound=TokenSequence)


@dataclass(frozen=True, slots=True)
class Move:
    """Copy the first `length` positions of slot `source` over slot `target`."""

    source: int
    target: int
    length: int


class Scheduler(Generic[S]):
    """Queue and slots of one engine. `slots` is the largest number of chats at once."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.waiting: deque[S] = deque()
        self.filling: S | None = None
        self.decoding: list[S] = []

    @property
    def is_idle(self) -> bool:
        return not (self.waiting or self.filling or self.decoding)

    @property
    def running(self) -> int:
        """Slots that are taken or promised."""
        return len(self.decoding) + (self.filling.width if self.filling else 0)

    def add(self, sequence: S) -> None:
        """Queue a new request behind all others."""
        self.waiting.append(sequence)

    def prefill_budget(self) -> int | None:
        """Prompt tokens to run before the next decode step; None: all, nobody is held up."""
        if not self.decoding:
            return None
        return min(max(PREFILL_LEAST, PREFILL_PER_REPLY * len(self.decoding)), PREFILL_MOST)

    def admit(self) -> S | None:
        """Give the next request its slots, if they are free and no prompt is being filled in."""
        if self.filling is not None or not self.waiting:
            return None
        if len(self.decoding) + self.waiting[0].width > self.slots:
            return None
        sequence = self.waiting.popleft()
        sequence.phase, sequence.slot = Phase.PREFILL, len(self.decoding)
        self.filling = sequence
        return sequence

    def begin_decoding(self) -> Move | None:
        """The prompt is filled in: its sequence joins the batch."""
        sequence = self.filling
        if sequence is None:
            raise RuntimeError("no prompt is being filled in")
        self.filling = None
        move = self._place(sequence, len(self.decoding))
        sequence.phase = Phase.DECODE
        self.decoding.append(sequence)
        return move

    def fork(self, sequence: S, sibling: S) -> Move:
        """`sibling` joins the batch with a copy of what `sequence`, just begun, has cached."""
        sibling.phase, sibling.slot = Phase.DECODE, len(self.decoding)
        sibling.cached = sequence.cached
        self.decoding.append(sibling)
        return Move(sequence.slot, sibling.slot, sequence.cached)

    def remove(self, sequence: S) -> Move | None:
        """A sequence is finished or given up: its slot is free at once."""
        phase, sequence.phase = sequence.phase, Phase.DONE
        if phase is Phase.WAITING:
            self.waiting.remove(sequence)
        elif phase is Phase.PREFILL:
            self.filling = None
        elif phase is Phase.DECODE:
            last = self.decoding.pop()
            if last is not sequence:
                hole = sequence.slot
                self.decoding[hole] = last
                return self._place(last, hole)
        return None

    def queue(self) -> list[S]:
        """Those for whom no slot is free, the next one first."""
        free = self.slots - self.running
        waiting = list(self.waiting)
        for place, sequence in enumerate(waiting):
            free -= sequence.width
            if free < 0:
                return waiting[place:]
        return []

    @staticmethod
    def _place(sequence: S, slot: int) -> Move | None:
        source, sequence.slot = sequence.slot, slot
        return None if source == slot else Move(source, slot, sequence.cached)
