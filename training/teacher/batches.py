"""Transcripts as the batches that the teacher reads: few shapes, so that each is compiled once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from training.teacher.transcript import Transcript

Batch = dict[str, npt.NDArray[np.int32] | npt.NDArray[np.float32]]
# Longer transcripts are cut.
LONGEST = 1024
STEP = 128


def grouped(transcripts: Sequence[Transcript], tokens: int) -> Iterator[list[int]]:
    """Indexes of transcripts of about one length that fit a batch of so many tokens together."""
    order = sorted(range(len(transcripts)), key=lambda index: len(transcripts[index].ids))
    group: list[int] = []
    for index in reversed(order):
        # The longest comes first.
        if group and (len(group) + 1) * _length([transcripts[group[0]]]) > tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def batch_to_ask(transcripts: Sequence[Transcript], tokens: int) -> Batch:
    """What was drawn for its `places` belongs to the transcripts' places, one after the other."""
    ids = _ids(transcripts, tokens)
    places = [row * ids.shape[1] + p for row, t in enumerate(transcripts) for p in t.places]
    return {"ids": ids, "places": _padded(places, ids.size)}


def batch_to_learn(transcripts: Sequence[Transcript], tokens: int) -> Batch:
    """Every spoken token with the place before it."""
    ids = _ids(transcripts, tokens)
    places = [
        row * ids.shape[1] + index - 1
        for row, transcript in enumerate(transcripts)
        for index, spoken in enumerate(transcript.spoken)
        if spoken
    ]
    at = _padded(places, ids.size)
    weight = (np.arange(ids.size) < len(places)).astype(np.float32)
    return {"ids": ids, "places": at, "next": ids.ravel()[at + 1], "weight": weight}


def _length(transcripts: Sequence[Transcript]) -> int:
    return -(-max(len(transcript.ids) for transcript in transcripts) // STEP) * STEP


def _ids(transcripts: Sequence[Transcript], tokens: int) -> npt.NDArray[np.int32]:
    length = _length(transcripts)
    ids = np.zeros((max(1, tokens // length), length), np.int32)
    for row, transcript in enumerate(transcripts):
        ids[row, : len(transcript.ids)] = transcript.ids
    return ids


def _padded(places: Sequence[int], size: int) -> npt.NDArray[np.int32]:
    return np.pad(np.asarray(places, np.int32), (0, size - len(places)))
