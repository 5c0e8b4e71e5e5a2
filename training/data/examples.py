"""Dialogues as examples, each with the candidate replies it must choose among.

A dialogue is computed once. Wrong candidates for one of its replies stand behind it as branches:
a branch sees the dialogue up to the reply it would replace, has the positions that follow, and is
seen by nobody else. So four candidates cost three short replies, not four whole contexts.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]
# Replies of other dialogues that wrong candidates are drawn from.
RECENT_REPLIES = 512


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of one dialogue and the spans of its replies, the token that ends each included.

    `weights` says of every token how much its loss counts; 0 is not learnt. `source` numbers where
    the dialogue comes from. `rows` are those of the tokens among a teacher's draws, 0 for none;
    `drawn` (tokens, draws) is what a teacher would have said in their
    place, -1 where it was not asked.
    """

    ids: IntArray
    replies: tuple[tuple[int, int], ...]
    weights: FloatArray
    source: int = 0
    rows: IntArray | None = None
    drawn: IntArray | None = None

    @classmethod
    def from_mask(
        cls,
        ids: Sequence[int],
        mask: Sequence[bool | int],
        *,
        spoken_from: int = 0,
        person_coef: float = 0.0,
    ) -> Example:
        """`mask` is true for the tokens that the bot is to produce; the other tokens of the
        conversation, which starts at `spoken_from`, count `person_coef`."""
        edges = np.flatnonzero(np.diff(np.asarray([0, *mask, 0], np.int8)))
        spans = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        heard = np.arange(len(ids)) >= max(1, spoken_from)
        weights = np.where(np.asarray(mask, bool), 1.0, person_coef * heard).astype(np.float32)
        return cls(np.asarray(ids, np.int32), tuple(spans), weights)

    @property
    def targets(self) -> int:
        return int(np.count_nonzero(self.weights))


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What one batch holds at most; every batch has these array shapes."""

    rows: int
    row_length: int
    targets_per_row: int
    choices_per_row: int
    candidates: int
    draws: int = 0  # of a teacher, for each target


@dataclass(frozen=True, slots=True)
class Segment:
    """An example with its branches, as it stands in a row; indexes count from its own start."""

    ids: IntArray
    positions: IntArray
    branches: IntArray
    starts: IntArray
    target_index: IntArray
    target_ids: IntArray
    target_weight: FloatArray
    reply_ends: IntArray  # how many targets there are up to the end of each reply
    choice_index: IntArray  # (choices, candidates), the true reply first
    target_drawn: IntArray | None = None  # (targets, draws), with a teacher


def add_candidates(
    examples: Iterable[Example], random: Random, shape: BatchShape, *, share: float, window: int
) -> Iterator[Segment]:
    """Give a share of the examples wrong candidates for one reply, drawn from earlier examples of
    the same source: those of another would be told by their manner alone.

    An example that would not fit a row with them, or the window with one of them, goes without.
    """
    known: defaultdict[int, deque[IntArray]] = defaultdict(lambda: deque(maxlen=RECENT_REPLIES))
    for example in examples:
        recent = known[example.source]
        wrong: list[IntArray] = []
        reply = example.replies[random.randrange(len(example.replies))]
        if random.random() < share and len(recent) >= 8 * shape.candidates:
            wrong = random.sample(list(recent), shape.candidates - 1)
        longest = reply[0] + max(map(len, wrong), default=0)
        if len(example.ids) + sum(map(len, wrong)) > shape.row_length or longest > window:
            wrong = []
        yield segment(example, reply, wrong)
        recent.extend(example.ids[start:stop] for start, stop in example.replies)


def segment(example: Example, reply: tuple[int, int], wrong: Sequence[IntArray]) -> Segment:
    """The example, with `wrong` candidates in place of one of its replies as branches."""
    length = len(example.ids)
    start, stop = reply
    parts = [np.arange(length)] + [np.arange(start, start + len(ids)) for ids in wrong]
    branches = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    ends = np.cumsum([len(part) for part in parts]) - 1
    targets = np.flatnonzero(example.weights)
    reply_ends = np.searchsorted(targets, [stop for _, stop in example.replies])
    choice = [[stop - 1, *ends[1:].tolist()]] if wrong else np.zeros((0, 1))
    return Segment(
        ids=np.concatenate([example.ids, *wrong]).astype(np.int32),
        positions=np.concatenate(parts).astype(np.int32),
        branches=branches.astype(np.int32),
        starts=np.where(branches > 0, start, 0).astype(np.int32),
        target_index=(targets - 1).astype(np.int32),
        target_ids=example.ids[targets],
        target_weight=example.weights[targets],
        reply_ends=reply_ends.astype(np.int32),
        choice_index=np.asarray(choice, np.int32),
        target_drawn=None if example.drawn is None else example.drawn[targets],
    )
