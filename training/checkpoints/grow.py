"""A larger model that says what a smaller one says, to be trained on from there.

What is new adds nothing at first, so that what was learnt is kept, and all of it can learn: a new
layer is a copy of the one below whose two projections give zero (Wu et al. 2024, "LLaMA Pro"), a
new unit of a feed-forward layer hears something random and is heard by none. Growing beats starting
anew (Chen et al. 2016, "Net2Net").
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from training.checkpoints.directory import Checkpoint, Config, FloatArray, read_checkpoint
from training.checkpoints.hub import checkpoint_name
from training.checkpoints.successor import check_is_new, write_successor
from training.errors import CheckpointError

Weights = dict[str, FloatArray]


def grow_checkpoint(
    path: Path, out: Path, *, layers: int | None = None, inner: int | None = None, seed: int = 0
) -> Config:
    """Write the checkpoint with so many `layers` in all, and so many `inner` units in each
    feed-forward layer, to the new directory `out`; its new shape.

    Raises CheckpointError when that is not more than it has, or `out` exists.
    """
    check_is_new(out)
    checkpoint = read_checkpoint(path)
    config, weights = checkpoint.config, checkpoint.weights
    grown = replace(config, n_layer=layers or config.n_layer, n_inner=inner or config.n_inner)
    _check_grows(checkpoint, grown)
    weights = _widen(weights, config, grown.n_inner, np.random.default_rng(seed))
    weights = _deepen(weights, config.n_layer, grown.n_layer)
    source = {"grown_from": checkpoint_name(path), "layers": grown.n_layer, "inner": grown.n_inner}
    write_successor(out, path, grown, weights, source=source)
    return grown


def _check_grows(checkpoint: Checkpoint, grown: Config) -> None:
    config = checkpoint.config
    if grown == config or grown.n_layer < config.n_layer or grown.n_inner < config.n_inner:
        raise CheckpointError(
            f"{checkpoint.path}: has {config.n_layer} layers of {config.n_inner} inner units; "
            "give more of one or both."
        )
    if config.scale_by_layer and grown.n_layer > config.n_layer:
        raise CheckpointError(
            f"{checkpoint.path}: what its layers do depends on their number "
            "(scale_attn_by_inverse_layer_idx); none can be put between them."
        )


def _widen(weights: Weights, config: Config, inner: int, random: np.random.Generator) -> Weights:
    """With `inner` units in every feed-forward layer."""
    new = inner - config.n_inner
    wide = dict(weights)
    for layer in range(config.n_layer if new else 0):
        hears, bias, heard = (
            f"h.{layer}.mlp.{name}" for name in ("c_fc.weight", "c_fc.bias", "c_proj.weight")
        )
        # As loud as the units that are there.
        drawn = random.normal(0, weights[hears].std(), (config.n_embd, new)).astype(np.float32)
        wide[hears] = np.concatenate([weights[hears], drawn], axis=1)
        wide[bias] = np.pad(weights[bias], (0, new))
        wide[heard] = np.pad(weights[heard], ((0, new), (0, 0)))
    return wide


def _deepen(weights: Weights, before: int, layers: int) -> Weights:
    """With `layers` layers, the new ones spread evenly among the old."""
    deep = {name: values for name, values in weights.items() if not name.startswith("h.")}
    for layer in range(layers):
        # Old layer i is the first of the new ones that come from it.
        source = layer * before // layers
        is_copy = (layer - 1) * before // layers == source
        for name, values in _of_layer(weights, source).items():
            adds_nothing = is_copy and "c_proj" in name
            deep[f"h.{layer}.{name}"] = np.zeros_like(values) if adds_nothing else values
    return deep


def _of_layer(weights: Weights, layer: int) -> Weights:
    prefix = f"h.{layer}."
    return {
        name.removeprefix(prefix): values
        for name, values in weights.items()
        if name.startswith(prefix)
    }
