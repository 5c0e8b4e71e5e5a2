"""What a run starts from: a checkpoint that is there, one of the Hub's, or a new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.config import TrainConfig
from training.data.readers import read_dialogues
from training.hub import checkpoint_directory
from training.scratch import Size, write_new_checkpoint

START = "start"


def starting_point(run: TrainConfig) -> Path:
    """The checkpoint directory that a run starts from; one of stated size is written to
    `out`/start first, which alone needs the data.

    Raises ExportError, TrainError and DataError.
    """
    if not run.size:
        return checkpoint_directory(run.checkpoint)
    directory = run.out / START
    size = Size.parse(
        run.size,
        positions=run.positions,
        vocabulary=run.vocabulary,
        lowercase=not run.natural_case,
    )
    if not directory.exists():
        write_new_checkpoint(directory, size, _texts(run), seed=run.seed)
    return directory


def _texts(run: TrainConfig) -> Iterator[str]:
    for path, _ in run.data:
        for dialogue in read_dialogues(path):
            yield from dialogue.turns
            for lines in dialogue.personas:
                yield from lines
