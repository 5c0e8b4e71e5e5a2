"""What a run starts from: a checkpoint that is there, one of the Hub's, or a new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from training.config import TrainConfig
from training.data.stream import Source
from training.hub import checkpoint_directory
from training.scratch import Size, write_new_checkpoint

START = "start"


def starting_point(run: TrainConfig, sources: Callable[[], Sequence[Source]]) -> Path:
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
        write_new_checkpoint(directory, size, _texts(sources()), seed=run.seed)
    return directory


def _texts(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        for dialogue in source.dialogues:
            yield from dialogue.turns
            for lines in dialogue.personas:
                yield from lines
