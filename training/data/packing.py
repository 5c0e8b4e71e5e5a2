"""Packs dialogues into rows of fixed length, each with the candidate replies it must choose among.

A dialogue is computed once. Wrong candidates for one of its replies stand behind it as branches:
a branch sees the dialogue up to the reply it would replace, has the positions that follow, and is
seen by nobody else. So four candidates cost three short replies, not four whole contexts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
# Dialogues waiting for a row with room for them: more waste less padding.
WAITING = 96
LOOKED_AT = 16
# Replies of other dialogues that wrong candidates are drawn from.
RECENT_REPLIES = 512


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of one dialogue and the spans of its replies, the token that ends each included."""

    ids: IntArray
    replies: tuple[tuple[int, int], ...]

    @classmethod
    def from_mask(cls, ids: Sequence[int], mask: Sequence[bool | int]) -> Example:
        """`mask` is true for the tokens that the bot is to produce."""
        edges = np.flatnonzero(np.diff(np.asarray([0, *mask, 0], np.int8)))
        spans = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        return cls(np.asarray(ids, np.int32), tuple(spans))

    @property
    def targets(self) -> int:
        return sum(stop - start for start, stop in self.replies)


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What one batch holds at most; every batch has these array shapes."""

    rows: int
    row_length: int
    targets_per_row: int
    choices_per_row: int
    candidates: int


@dataclass(frozen=True, slots=True)
class Segment:
    """An example with its branches, as it stands in a row; indexes count from its own start."""

    ids: IntArray
    positions: IntArray
    branches: IntArray
    starts: IntArray
    target_index: IntArray
    target_ids: IntArray
    choice_index: IntArray  # (choices, candidates), the true reply first


Batch = dict[str, npt.NDArray[np.int32] | npt.NDArray[np.float32]]


def add_candidates(
    examples: Iterable[Example], random: Random, shape: BatchShape, *, share: float
) -> Iterator[Segment]:
    """Give a share of the examples wrong candidates for one reply, drawn from earlier examples.

    An example that would not fit a row with them goes without.
    """
    recent: deque[IntArray] = deque(maxlen=RECENT_REPLIES)
    for example in examples:
        wrong: list[IntArray] = []
        reply = example.replies[random.randrange(len(example.replies))]
        if random.random() < share and len(recent) >= 8 * shape.candidates:
            wrong = random.sample(list(recent), shape.candidates - 1)
        if len(example.ids) + sum(map(len, wrong)) > shape.row_length:
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
    targets = np.concatenate([np.arange(*span) for span in example.replies])
    choice = [[stop - 1, *ends[1:].tolist()]] if wrong else np.zeros((0, 1))
    return Segment(
        ids=np.concatenate([example.ids, *wrong]).astype(np.int32),
        positions=np.concatenate(parts).astype(np.int32),
        branches=branches.astype(np.int32),
        starts=np.where(branches > 0, start, 0).astype(np.int32),
        target_index=(targets - 1).astype(np.int32),
        target_ids=example.ids[targets],
        choice_index=np.asarray(choice, np.int32),
    )


def pack(segments: Iterable[Segment], shape: BatchShape, *, fill: bool = True) -> Iterator[Batch]:
    """Batches of full rows; the last one may hold empty rows, and weights say what counts.

    With `fill` the room left in a row takes the beginning of a dialogue that has its own turn
    later, which is then seen twice.

    Keys: ids, positions, segments, branches, starts (rows, row_length); target_index, target_ids,
    target_weight (targets,); choice_index (choices, candidates), choice_weight (choices,).
    Indexes count over the flattened rows.
    """
    rows: list[list[Segment]] = []
    for row in _fill_rows(segments, shape, fill=fill):
        rows.append(row)
        if len(rows) == shape.rows:
            yield _batch(rows, shape)
            rows = []
    if rows:
        yield _batch(rows, shape)


def _fill_rows(
    segments: Iterable[Segment], shape: BatchShape, *, fill: bool
) -> Iterator[list[Segment]]:
    source = iter(segments)
    waiting: list[Segment] = []
    while True:
        while len(waiting) < WAITING and (item := next(source, None)) is not None:
            waiting.append(item)
        if not waiting:
            return
        row = _take_row(waiting, shape)
        if fill and (item := _filling(row, waiting, shape)):
            row.append(item)
        yield row


def _take_row(waiting: list[Segment], shape: BatchShape) -> list[Segment]:
    """The one that waited longest, then always the longest that still fits."""
    row = [waiting.pop(0)]
    while True:
        length, targets, choices = _room(row, shape)
        fitting = [
            index
            for index, item in enumerate(waiting)
            if len(item.ids) <= length
            and len(item.target_ids) <= targets
            and len(item.choice_index) <= choices
        ]
        if not fitting:
            return row
        row.append(waiting.pop(max(fitting, key=lambda index: len(waiting[index].ids))))


def _room(row: list[Segment], shape: BatchShape) -> tuple[int, int, int]:
    """Tokens, targets and choices that a row can still take."""
    return (
        shape.row_length - sum(len(item.ids) for item in row),
        shape.targets_per_row - sum(len(item.target_ids) for item in row),
        shape.choices_per_row - sum(len(item.choice_index) for item in row),
    )


def _filling(row: list[Segment], waiting: list[Segment], shape: BatchShape) -> Segment | None:
    length, targets, _ = _room(row, shape)
    beginnings = (_beginning(item, length, targets) for item in waiting[:LOOKED_AT])
    return max((item for item in beginnings if item), key=lambda item: len(item.ids), default=None)


def _beginning(item: Segment, length: int, targets: int) -> Segment | None:
    """The dialogue up to the last reply that ends within the limits, without candidates."""
    ends = np.flatnonzero(np.diff(item.target_index, append=item.target_index[-1] + 2) > 1) + 1
    for count in ends[::-1].tolist():
        stop = int(item.target_index[count - 1]) + 2
        if stop <= length and count <= targets:
            return Segment(
                ids=item.ids[:stop],
                positions=item.positions[:stop],
                branches=item.branches[:stop],
                starts=item.starts[:stop],
                target_index=item.target_index[:count],
                target_ids=item.target_ids[:count],
                choice_index=item.choice_index[:0],
            )
    return None


def _batch(rows: list[list[Segment]], shape: BatchShape) -> Batch:
    grid = (shape.rows, shape.row_length)
    fields = ("ids", "positions", "branches", "starts")
    batch: Batch = {name: np.zeros(grid, np.int32) for name in (*fields, "segments")}
    index, target, choices = [], [], []
    for number, row in enumerate(rows):
        at = 0
        for count, item in enumerate(row, 1):
            stop = at + len(item.ids)
            for name in fields:
                batch[name][number, at:stop] = getattr(item, name)
            batch["segments"][number, at:stop] = count
            origin = number * shape.row_length + at
            index.append(item.target_index + origin)
            target.append(item.target_ids)
            if len(item.choice_index):
                choices.append(item.choice_index + origin)
            at = stop
    return batch | _padded(index, target, choices, shape)


def _padded(
    index: list[IntArray], target: list[IntArray], choices: list[IntArray], shape: BatchShape
) -> Batch:
    targets = shape.rows * shape.targets_per_row
    groups = (shape.rows * shape.choices_per_row, shape.candidates)
    found = np.concatenate(index)
    chosen = np.concatenate(choices) if choices else np.zeros((0, shape.candidates), np.int32)
    missing = targets - len(found)
    choice_index = np.zeros(groups, np.int32)
    choice_index[: len(chosen)] = chosen
    return {
        "target_index": np.pad(found, (0, missing)),
        "target_ids": np.pad(np.concatenate(target), (0, missing)),
        "target_weight": np.pad(np.ones(len(found), np.float32), (0, missing)),
        "choice_index": choice_index,
        "choice_weight": (np.arange(groups[0]) < len(chosen)).astype(np.float32),
    }
