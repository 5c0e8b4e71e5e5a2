"""What a run starts from: a checkpoint that is there, one of the Hub's, or a new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from training.checkpoints.hub import checkpoint_directory
from training.checkpoints.scratch import Size, write_new_checkpoint
from training.config import TrainConfig, cannot_write
from training.data.dialogue import Dialogue, all_texts
from training.data.readers import read_dialogues
from training.data.sources import made_dialogues
from training.whole import whole_directory

START = "start"


def starting_point(run: TrainConfig, *, characters: Sequence[Sequence[str]] = ()) -> Path:
    """The checkpoint directory that a run starts from; one of stated size is written to
    `out`/start first, which alone needs the data. `characters` are personas for grammar dialogues.

    Raises CheckpointError, RunError and DataError.
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
    try:
        with whole_directory(directory, replace=True) as fresh:
            write_new_checkpoint(fresh, size, all_texts(_dialogues(run, characters)), seed=run.seed)
    except OSError as error:
        raise cannot_write(directory, error) from error
    return directory


def _dialogues(run: TrainConfig, characters: Sequence[Sequence[str]]) -> Iterator[Dialogue]:
    """All that the run learns from; what is damaged is told when it is read to be learnt."""
    for path, _ in run.data:
        yield from read_dialogues(path)
    if run.grammar:
        yield from made_dialogues(run, characters)
