"""Checkpoints of a run: weights in Hugging Face's layout, and what an exact resume needs beside.

A checkpoint directory is written beside its place and renamed into it, so that a kill at any
moment leaves the old one or the new one, if need be under the name that `undo_half_saves` knows.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from keras import ops

from inference.bundle import TOKENIZER_FILE
from training.checkpoints.directory import (
    BEST,
    CHOICE_WEIGHT,
    FACTS_FILE,
    LAST,
    write_checkpoint,
    write_json,
)
from training.checkpoints.vocabulary import Vocabulary, write_tokenizer
from training.config import TrainConfig
from training.errors import RunError
from training.model import DialogueModel, read_weights

STATE_FILE, OPTIMIZER_FILE, META_FILE = "state.json", "optimizer.npz", "meta.json"
# Options that decide what a run is measured with.
MEASURE = ("validation", "evaluate_dialogues", "row_length", "max_dialogue")
# What the names of dropout's random states begin with.
RANDOM = "random_"


@dataclasses.dataclass(slots=True)
class RunState:
    """Where a run is: `epoch` and `batch` are the place in the data of the next batch."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    tokens: int = 0
    best: float | None = None
    stale: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def save_model(
    directory: Path,
    model: DialogueModel,
    vocabulary: Vocabulary,
    *,
    choice_head: bool,
    meta: Mapping[str, Any],
    facts: Mapping[str, Any],
    state: RunState | None = None,
    optimizer: Any = None,
) -> None:
    """Write a checkpoint directory; `export_bundle` and transformers read it. A second head that
    is not trained is of no use and left out (`choice_head` False).

    Raises RunError when the disk does not take it.
    """
    fresh = directory.with_name(f".{directory.name}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        _write(fresh, model, vocabulary, choice_head=choice_head)
        write_json(fresh / META_FILE, meta)
        write_json(fresh / FACTS_FILE, facts)
        if state is not None:
            saved = {
                name: ops.convert_to_numpy(variable)
                for name, variable in _variables(model, optimizer).items()
            }
            np.savez(fresh / OPTIMIZER_FILE, **saved)
            write_json(fresh / STATE_FILE, dataclasses.asdict(state))
        old = _replaced(directory)
        shutil.rmtree(old, ignore_errors=True)
        if directory.exists():
            directory.rename(old)
        fresh.rename(directory)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise RunError(
            f"{directory}: the checkpoint cannot be written ({error.strerror or error}); "
            "free space or choose another --out, then run again with --resume."
        ) from error


def undo_half_saves(out: Path) -> None:
    """Put back what a save had moved away when it was killed, if it got no further."""
    for directory in (out / LAST, out / BEST):
        if not directory.exists() and _replaced(directory).exists():
            _replaced(directory).rename(directory)


def _replaced(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.old")


def load_state(directory: Path, model: DialogueModel, optimizer: Any) -> RunState:
    """Put optimizer and random state beside the weights, which are in place; where the run was.

    Raises RunError where the files are damaged, or of an optimizer that keeps other numbers.
    """
    try:
        state = RunState(**json.loads((directory / STATE_FILE).read_text(encoding="utf-8")))
        # A file that numpy opened would stay open where it is damaged.
        with (directory / OPTIMIZER_FILE).open("rb") as stream, np.load(stream) as file:
            saved = dict(file)
    except (OSError, EOFError, ValueError, TypeError, BadZipFile) as error:
        raise RunError(f"{directory}: cannot go on from here ({error}).") from error
    for name, variable in _variables(model, optimizer).items():
        # Without dropout there was no random state; it begins anew.
        if name.startswith(RANDOM) and name not in saved:
            continue
        if name not in saved or saved[name].shape != tuple(variable.shape):
            raise RunError(
                f"{directory}: was saved with another precision or other tasks; leave --precision, "
                f"--candidates, --choice-share and --choice-coef as they were, or start another "
                f"run from it: --checkpoint {directory}."
            )
        variable.assign(saved[name])
    return state


def read_options(directory: Path) -> dict[str, Any]:
    """The options of the run that left a checkpoint. Raises RunError."""
    path = directory / META_FILE
    try:
        return {**json.loads(path.read_text(encoding="utf-8"))["run"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: cannot go on from here ({error!r}).") from error


def measured_otherwise(directory: Path, run: TrainConfig) -> bool:
    """Whether what is best was found with other validation dialogues, or others of their turns,
    than `run` has. Raises RunError."""
    before = read_options(directory)
    return any(str(before.get(name)) != str(getattr(run, name)) for name in MEASURE)


def _write(
    directory: Path, model: DialogueModel, vocabulary: Vocabulary, *, choice_head: bool
) -> None:
    weights = read_weights(model)
    if not choice_head:
        del weights[CHOICE_WEIGHT]
    write_checkpoint(directory, model.config, weights, end=vocabulary.special_tokens.end)
    write_tokenizer(directory / TOKENIZER_FILE, vocabulary.tokenizer)


def _variables(model: DialogueModel, optimizer: Any) -> dict[str, Any]:
    """What the weights do not hold: the optimizer's moments and the state of dropout."""
    seeds = [variable for variable in model.non_trainable_variables if "seed" in variable.path]
    named = {f"optimizer_{i}": variable for i, variable in enumerate(optimizer.variables)}
    return named | {f"{RANDOM}{i}": variable for i, variable in enumerate(seeds)}
