"""The mean of several checkpoints of one run, and a temperature for what comes out.

Weights along a run average well (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and
Better Generalization"). Logits divided by one number, the same for all, say how sure the model
should be (Guo et al. 2017, "On Calibration of Modern Neural Networks"): the norm before the head
takes that number in, so that no graph changes. The second head's scores stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.checkpoints.directory import CHOICE_WEIGHT, CONFIG_FILE, Checkpoint, read_checkpoint
from training.checkpoints.hub import checkpoint_name
from training.checkpoints.successor import check_is_new, write_successor
from training.checkpoints.vocabulary import read_vocabulary
from training.errors import CheckpointError


def average_checkpoints(paths: Sequence[Path], out: Path, *, temperature: float = 1.0) -> None:
    """Write the mean of the checkpoints to the new directory `out`, its logits divided by
    `temperature`. A tensor that one of them lacks is left out; tokenizer and facts are the last
    one's.

    Raises CheckpointError when they do not fit together, or `out` exists.
    """
    check_is_new(out)
    if not 0 < temperature < math.inf:
        raise CheckpointError(f"temperature must be above 0 and finite, not {temperature}.")
    checkpoints = [read_checkpoint(path) for path in paths]
    last = checkpoints[-1]
    for checkpoint in checkpoints:
        _check_fits(checkpoint, last)
    names = set.intersection(*(set(checkpoint.weights) for checkpoint in checkpoints))
    weights = {
        name: np.mean([checkpoint.weights[name] for checkpoint in checkpoints], axis=0)
        for name in sorted(names)
    }
    for name in ("ln_f.weight", "ln_f.bias"):
        weights[name] = weights[name] / np.float32(temperature)
    if CHOICE_WEIGHT in weights:
        # The second head reads what the norm gives, too, and is to score as before.
        weights[CHOICE_WEIGHT] = weights[CHOICE_WEIGHT] * np.float32(temperature)
    source: dict[str, Any] = {"mean_of": [checkpoint_name(path) for path in paths]}
    if temperature != 1:
        source["temperature"] = temperature
    write_successor(out, last.path, last.config, weights, source=source)


def _check_fits(checkpoint: Checkpoint, other: Checkpoint) -> None:
    """Raises CheckpointError where shapes differ, or a row of their tables is not one token."""
    words, others = (
        read_vocabulary(each.path).tokenizer.get_vocab(with_added_tokens=True)
        for each in (checkpoint, other)
    )
    if checkpoint.config != other.config:
        raise CheckpointError(
            f"{checkpoint.path / CONFIG_FILE}: another shape than that of {other.path}; "
            "only checkpoints of one model have a mean."
        )
    if words != others:
        raise CheckpointError(
            f"{checkpoint.path}: its tokenizer has other tokens than that of {other.path}; "
            "only checkpoints of one model have a mean."
        )
