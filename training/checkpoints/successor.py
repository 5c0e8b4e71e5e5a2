"""Checkpoints made of others: new weights, and the tokenizer and facts that were there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.checkpoints.directory import (
    FACTS_FILE,
    Config,
    FloatArray,
    checkpoint_facts,
    write_checkpoint,
    write_json,
)
from training.checkpoints.hub import FILES
from training.checkpoints.vocabulary import read_vocabulary
from training.errors import CheckpointError
from training.whole import whole_directory


def check_is_new(out: Path) -> None:
    """Raises CheckpointError where `out` exists."""
    if out.exists():
        raise CheckpointError(f"{out}: exists already; choose another directory.")


def write_successor(
    out: Path,
    predecessor: Path,
    config: Config,
    weights: Mapping[str, FloatArray],
    *,
    source: Mapping[str, Any],
) -> None:
    """Write a checkpoint to the new directory `out`, with the tokenizer and the facts of another,
    to whose `source` is added what was done.

    Raises CheckpointError.
    """
    end = read_vocabulary(predecessor).special_tokens.end
    facts = checkpoint_facts(predecessor)
    facts["source"] = {**facts.get("source", {}), **source}
    try:
        with whole_directory(out) as fresh:
            write_checkpoint(fresh, config, weights, end=end)
            write_json(fresh / FACTS_FILE, facts)
            for name in FILES:
                if (predecessor / name).exists() and not (fresh / name).exists():
                    shutil.copy(predecessor / name, fresh)
    except OSError as error:
        raise CheckpointError(f"{out}: cannot be written ({error.strerror or error}).") from error
