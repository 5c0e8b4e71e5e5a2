"""A runner without a model, for what a real one would hide.

Its next token depends on every token of the slot's history and on nothing else, so that a slot that
was mixed up, cut short or overwritten shows in the text of the reply; reading a position that was
never written fails at once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.bundle import Bundle
from inference.runner import TopK
from inference.slots import KVSnapshot


class HistoryRunner:
    """A reply ends at each of its tokens with a probability of `ends`."""

    device = "none"
    top_k = 64
    ends = 1 / 12
    choice_scores: npt.NDArray[np.float32] | None = None

    def __init__(self, bundle: Bundle, *, slots: int, threads: int) -> None:
        self.slots = slots
        self.n_ctx = bundle.n_ctx
        self._stop = bundle.special_tokens.person
        self._vocab_size = bundle.vocab_size
        self._cells = np.full((slots, bundle.n_ctx), -1, np.int64)
        self.largest_batch = 0
        self.closed = False

    def prefill(self, slot: int, token_ids: Sequence[int], past: int) -> TopK:
        self._cells[slot, past : past + len(token_ids)] = token_ids
        return self._top([self._cells[slot, : past + len(token_ids)]])

    def decode(self, token_ids: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> TopK:
        self.largest_batch = max(self.largest_batch, len(token_ids))
        rows = range(len(token_ids))
        self._cells[rows, lengths] = token_ids
        return self._top([self._cells[row, : lengths[row] + 1] for row in rows])

    def move(self, source: int, target: int, length: int) -> None:
        self._cells[target] = -1
        self._cells[target, :length] = self._cells[source, :length]

    def save(self, slot: int, length: int) -> KVSnapshot:
        return KVSnapshot(length, self._cells[slot, :length].copy())

    def load(self, slot: int, snapshot: KVSnapshot, length: int) -> None:
        self._cells[slot] = -1
        self._cells[slot, :length] = snapshot.data[:length]

    def rest(self) -> None:
        self._cells[:] = -1

    def close(self) -> None:
        self.closed = True

    def _top(self, histories: Sequence[npt.NDArray[np.int64]]) -> TopK:
        rows = [self._candidates(tuple(history.tolist())) for history in histories]
        values = np.tile(np.linspace(5, 0, self.top_k, dtype=np.float32), (len(rows), 1))
        return TopK(values, np.array(rows, np.int64))

    def _candidates(self, history: tuple[int, ...]) -> list[int]:
        assert min(history) >= 0, "a position was read that was never written"
        random = Random(hash(history))
        words = random.sample(range(260, self._vocab_size), self.top_k)
        return [self._stop, *words[1:]] if random.random() < self.ends else words


class HeldRunner(HistoryRunner):
    """Never ends a reply. After `STEPS` steps it stands still until it may `go_on`."""

    ends = 0
    STEPS = 10

    def __init__(self, bundle: Bundle, *, slots: int, threads: int, go_on: threading.Event) -> None:
        super().__init__(bundle, slots=slots, threads=threads)
        self.go_on = go_on
        self.steps = 0

    def decode(self, token_ids: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> TopK:
        self.steps += 1
        if self.steps > self.STEPS:
            self.go_on.wait(30)
        return super().decode(token_ids, lengths)
