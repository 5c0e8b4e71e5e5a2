"""What a run starts from: a checkpoint that is there, one of the Hub's, or a new one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from training.config import TrainConfig
from training.data.readers import read_dialogues
from training.hub import checkpoint_directory
from training.scratch import Size, write_new_checkpoint

START = "start"


def starting_point(run: TrainConfig, *, resume: bool) -> Path:
    """The checkpoint directory that a run starts from; one of stated size is written to
    `out`/start first, which alone needs the data, unless a run that is resumed has it.

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
    if resume and directory.exists():
        return directory
    fresh = directory.with_name(f".{START}.new")
    for old in (fresh, directory):
        shutil.rmtree(old, ignore_errors=True)
    write_new_checkpoint(fresh, size, _texts(run), seed=run.seed)
    fresh.rename(directory)
    return directory


def _texts(run: TrainConfig) -> Iterator[str]:
    for path, _ in run.data:
        for dialogue in read_dialogues(path):
            yield from dialogue.turns
            for lines in dialogue.personas:
                yield from lines
