"""What the teacher drew, on disk: parts of a few hundred dialogues, each written whole.

A part holds, of every dialogue, the key of its file's tokens (`training.data.tokens`), its number
there and how many rows it has, and `draws` (rows, DRAWS): a row for every token of its turns and
one for the end of each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.errors import DataError
from training.whole import whole_file

DrawArray = npt.NDArray[np.uint16]
IntArray = npt.NDArray[np.int32]
DRAWS = 24
# Where the teacher was not asked, and where it drew the end of the turn.
UNASKED = np.iinfo(np.uint16).max
END = UNASKED - 1
PART = "{:05}.npz"


@dataclass(frozen=True, slots=True)
class ReadDialogue:
    """A dialogue that the teacher has read: `draws` (rows, DRAWS)."""

    key: str
    number: int
    draws: DrawArray


def write_part(directory: Path, part: int, dialogues: Sequence[ReadDialogue]) -> None:
    """All of it or nothing. Raises OSError."""
    with whole_file(directory / PART.format(part)) as fresh:
        np.savez(
            fresh,
            keys=np.array([each.key for each in dialogues]),
            numbers=np.array([each.number for each in dialogues]),
            lengths=np.array([len(each.draws) for each in dialogues]),
            draws=np.concatenate([each.draws for each in dialogues]),
        )


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """All parts of a directory. `first_rows` says for each file's key and each of its dialogues
    that was read where its rows begin in `draws` (rows, DRAWS); no part has the number
    `next_part`."""

    draws: DrawArray
    first_rows: Mapping[str, Mapping[int, int]]
    next_part: int

    @classmethod
    def open(cls, directory: Path) -> SoftTargets:
        """Raises DataError when a part cannot be read."""
        draws = [np.full((1, DRAWS), UNASKED, np.uint16)]
        first_rows: defaultdict[str, dict[int, int]] = defaultdict(dict)
        row, paths = 1, sorted(directory.glob("[0-9]*.npz"))
        for path in paths:
            try:
                with path.open("rb") as stream:
                    part = dict(np.load(stream))
                listed = zip(part["keys"], part["numbers"], part["lengths"], strict=True)
                draws.append(part["draws"])
            except Exception as error:  # a damaged zip raises much that has no common class
                raise DataError(f"{path}: cannot be read ({error}); delete it.") from error
            for key, number, length in listed:
                first_rows[str(key)][int(number)] = row
                row += int(length)
        return cls(np.concatenate(draws), first_rows, 1 + int(paths[-1].stem) if paths else 0)

    def rows_of(self, key: str) -> Mapping[int, int]:
        """Where the rows of a file's dialogues begin, by their numbers."""
        return self.first_rows.get(key, {})

    def drawn(self, rows: IntArray, ends: IntArray) -> IntArray:
        """(rows, DRAWS) tokens, with those of `ends` (rows,) where a turn ends, and -1 where the
        teacher was not asked."""
        found = self.draws[rows].astype(np.int32)
        found = np.where(found == END, ends[:, None], found)
        return np.where(found == UNASKED, -1, found)
