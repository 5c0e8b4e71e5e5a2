"""Who runs next. Pure policy: it moves requests between a queue and slots and calls no model.

Decoding sequences always sit in slots 0..B-1, because one call of the model decodes a prefix of the
slots. When one of them leaves, the last takes its place: a `Move` tells the runner to copy that
slot. Prompts are filled in above them, one after the other: who came first begins first, and so
never moves to a slot that another prompt is being filled into. Requests are admitted in the order
they came, so that none can starve: one that needs several slots waits at the head of the line until
so many are free, and nobody overtakes it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from inference.sequence import Phase, TokenSequence

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
        self.filling: deque[S] = deque()
        self.decoding: list[S] = []

    @property
    def is_idle(self) -> bool:
        return not (self.waiting or self.filling or self.decoding)

    @property
    def running(self) -> int:
        """Slots that are taken or promised."""
        return len(self.decoding) + sum(sequence.width for sequence in self.filling)

    def add(self, sequence: S) -> None:
        """Queue a new request behind all others."""
        self.waiting.append(sequence)

    def admit(self) -> S | None:
        """Give the next request its slots, if they are free."""
        slot = self._first_free()
        if not self.waiting or slot + self.waiting[0].width > self.slots:
            return None
        sequence = self.waiting.popleft()
        sequence.phase, sequence.slot = Phase.PREFILL, slot
        self.filling.append(sequence)
        return sequence

    def begin_decoding(self) -> Move | None:
        """The first prompt is filled in: its sequence joins the batch."""
        sequence = self.filling.popleft()
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
            self.filling.remove(sequence)
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

    def _first_free(self) -> int:
        """The slot above all that are taken or promised."""
        if not self.filling:
            return len(self.decoding)
        last = self.filling[-1]
        return last.slot + last.width

    @staticmethod
    def _place(sequence: S, slot: int) -> Move | None:
        source, sequence.slot = sequence.slot, slot
        return None if source == slot else Move(source, slot, sequence.cached)
