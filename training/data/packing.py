"""Packs examples into rows of fixed length, so that little is padding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from training.data.examples import BatchShape, FloatArray, IntArray, Segment

Batch = dict[str, IntArray | FloatArray]
# Segments waiting for a row with room for them: more waste less padding.
WAITING = 96
LOOKED_AT = 16


def pack(segments: Iterable[Segment], shape: BatchShape, *, fill: bool = True) -> Iterator[Batch]:
    """Batches of full rows; the last one may hold empty rows, and weights say what counts.

    With `fill` the room left in a row takes the beginning of a dialogue that has its own turn
    later, which is then seen twice.

    Keys: ids, positions, segments, branches, starts (rows, row_length); target_index, target_ids,
    target_weight (targets,); choice_index (choices, candidates), choice_weight (choices,). With a
    teacher drawn_ids (targets, draws) and asked (targets,), 1 where it drew them. Indexes count
    over the flattened rows.
    """
    rows: list[list[Segment]] = []
    for row in _fill_rows(segments, shape, fill=fill):
        rows.append(row)
        if len(rows) == shape.rows:
            yield _batch(rows, shape)
            rows = []
    if rows:
        yield _batch(rows, shape)


def weighed(batches: Sequence[Batch]) -> Sequence[Batch]:
    """The batches of one update, so that the mean of their losses is the loss of one batch with all
    of their rows: of several, each has lm_part and choice_part (rows,), one number each.

    They are what the batch's own means count: its share of the update's targets and of its choices,
    times the number of batches.
    """
    if len(batches) == 1:
        return batches
    counted = {"lm_part": "target_weight", "choice_part": "choice_weight"}
    parts = {part: _parts([batch[weight] for batch in batches]) for part, weight in counted.items()}
    return [
        batch | {part: np.full(len(batch["ids"]), parts[part][number]) for part in parts}
        for number, batch in enumerate(batches)
    ]


def _parts(weights: Sequence[IntArray | FloatArray]) -> FloatArray:
    counts = np.array([weight.sum() for weight in weights])
    parts: FloatArray = (len(counts) * counts / max(1.0, counts.sum())).astype(np.float32)
    return parts


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
    for count in item.reply_ends[::-1].tolist():
        stop = int(item.target_index[count - 1]) + 2
        if stop <= length and count <= targets:
            return Segment(
                ids=item.ids[:stop],
                positions=item.positions[:stop],
                branches=item.branches[:stop],
                starts=item.starts[:stop],
                target_index=item.target_index[:count],
                target_ids=item.target_ids[:count],
                target_weight=item.target_weight[:count],
                reply_ends=item.reply_ends[:0],
                choice_index=item.choice_index[:0],
                target_drawn=None if item.target_drawn is None else item.target_drawn[:count],
            )
    return None


def _batch(rows: list[list[Segment]], shape: BatchShape) -> Batch:
    grid = (shape.rows, shape.row_length)
    fields = ("ids", "positions", "branches", "starts")
    batch: Batch = {name: np.zeros(grid, np.int32) for name in (*fields, "segments")}
    items = [item for row in rows for item in row]
    index, choices = [], []
    for number, row in enumerate(rows):
        at = 0
        for count, item in enumerate(row, 1):
            stop = at + len(item.ids)
            for name in fields:
                batch[name][number, at:stop] = getattr(item, name)
            batch["segments"][number, at:stop] = count
            origin = number * shape.row_length + at
            index.append(item.target_index + origin)
            if len(item.choice_index):
                choices.append(item.choice_index + origin)
            at = stop
    targets = {
        "target_index": np.concatenate(index),
        "target_ids": np.concatenate([item.target_ids for item in items]),
        "target_weight": np.concatenate([item.target_weight for item in items]),
    }
    missing = shape.rows * shape.targets_per_row - len(targets["target_ids"])
    padded = {name: np.pad(values, (0, missing)) for name, values in targets.items()}
    return batch | padded | _drawn(items, shape) | _choices(choices, shape)


def _drawn(items: Sequence[Segment], shape: BatchShape) -> Batch:
    if not shape.draws:
        return {}
    drawn = np.full((shape.rows * shape.targets_per_row, shape.draws), -1, np.int32)
    at = 0
    for item in items:
        if item.target_drawn is not None:
            drawn[at : at + len(item.target_drawn)] = item.target_drawn
        at += len(item.target_ids)
    return {"drawn_ids": np.maximum(drawn, 0), "asked": (drawn[:, 0] >= 0).astype(np.float32)}


def _choices(choices: list[IntArray], shape: BatchShape) -> Batch:
    groups = (shape.rows * shape.choices_per_row, shape.candidates)
    chosen = np.concatenate(choices) if choices else np.zeros((0, shape.candidates), np.int32)
    choice_index = np.zeros(groups, np.int32)
    choice_index[: len(chosen)] = chosen
    return {
        "choice_index": choice_index,
        "choice_weight": (np.arange(groups[0]) < len(chosen)).astype(np.float32),
    }
