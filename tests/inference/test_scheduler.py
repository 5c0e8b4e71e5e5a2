"""Who runs next: nobody is lost, no slot is leaked, no slot is used twice."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.scheduler import Move, Scheduler
from inference.sequence import Phase, TokenSequence

SLOTS = 3


class Scheduling(RuleBasedStateMachine):
    """Any order of arrivals, prefills, ends and departures."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler[TokenSequence](SLOTS)
        self.alive: list[TokenSequence] = []
        self.arrivals: list[TokenSequence] = []
        self.admitted: list[TokenSequence] = []
        # What each slot really holds, as the runner's cache would.
        self.held: dict[int, TokenSequence] = {}

    @rule()
    def arrive(self) -> None:
        sequence = TokenSequence(prompt_ids=(1, 2, 3))
        self.scheduler.add(sequence)
        self.alive.append(sequence)
        self.arrivals.append(sequence)

    @rule()
    def admit(self) -> None:
        if sequence := self.scheduler.admit():
            self.admitted.append(sequence)

    @precondition(lambda self: self.scheduler.filling)
    @rule()
    def finish_prefill(self) -> None:
        sequence = self.scheduler.filling[0]
        self.held[sequence.slot] = sequence
        sequence.cached = len(sequence.prompt_ids)
        self._apply(self.scheduler.begin_decoding())

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        sequence = data.draw(st.sampled_from(self.alive))
        self._apply(self.scheduler.remove(sequence))
        self.alive.remove(sequence)

    def _apply(self, move: Move | None) -> None:
        if move:
            assert move.length == self.held[move.source].cached
            self.held[move.target] = self.held[move.source]

    @invariant()
    def running_ones_fill_the_first_slots(self) -> None:
        decoding = self.scheduler.decoding
        assert [sequence.slot for sequence in decoding] == list(range(len(decoding)))
        assert all(self.held[sequence.slot] is sequence for sequence in decoding)
        filling = [sequence.slot for sequence in self.scheduler.filling]
        assert filling == sorted(set(filling))
        assert all(len(decoding) + place <= slot < SLOTS for place, slot in enumerate(filling))
        assert self.scheduler.running <= SLOTS

    @invariant()
    def nobody_is_lost(self) -> None:
        known = [
            *self.scheduler.waiting,
            *self.scheduler.filling,
            *self.scheduler.decoding,
        ]
        assert sorted(map(id, known)) == sorted(map(id, self.alive))
        assert all(sequence.phase is not Phase.DONE for sequence in known)
        assert self.scheduler.is_idle == (not self.alive)

    @invariant()
    def first_come_first_served(self) -> None:
        places = [self.arrivals.index(sequence) for sequence in self.admitted]
        assert places == sorted(places)


TestScheduling = Scheduling.TestCase
