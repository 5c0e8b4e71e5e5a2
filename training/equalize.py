"""Rewrites a GPT-2 into an equal one that loses less when it is quantised.

Scaling a channel by s where it is produced and by 1 / s where it is used changes no result. Norms
feed matrices, keys meet queries, and values reach the output matrix through a weighted mean, so
each of those channels may be given any range. How: Xiao et al. 2023, "SmoothQuant"; what is
measured is the largest magnitude of each channel over a calibration text.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference.bundle import MODEL_DATA_FILE, MODEL_FILE
from training.checkpoint import Checkpoint
from training.network import Network
from training.quantize import FloatArray
from training.weights import FloatMatrices

# How much of the difficulty moves from activations to weights; measured best on the default model.
_STRENGTH = 0.75
# Room above the largest key and value seen, so that unseen text is seldom clipped.
_MARGIN = 1.25
CACHE_SCALE = _MARGIN / 127
_FED_BY_NORM = {"ln_1": "attn.c_attn", "ln_2": "mlp.c_fc"}


@dataclass(frozen=True, slots=True)
class Ranges:
    """Largest magnitudes. `norms` by name of the norm, (n_embd); keys, values (n_layer, n_embd)."""

    norms: dict[str, FloatArray]
    keys: FloatArray
    values: FloatArray


def equalize(checkpoint: Checkpoint, texts: Iterable[npt.NDArray[np.int64]]) -> Checkpoint:
    """The same function with even channels; keys and values stay within about ±1.

    `texts` are token ids (S), S at most n_ctx, of the kind that the model will see.
    """
    ranges = _measure(checkpoint, texts)
    weights = dict(checkpoint.weights)
    for layer in range(checkpoint.config.n_layer):
        for norm, fed in _FED_BY_NORM.items():
            _even_norm(weights, f"h.{layer}.{norm}", f"h.{layer}.{fed}", ranges)
        _even_attention(weights, f"h.{layer}.attn", ranges.keys[layer], ranges.values[layer])
    return dataclasses.replace(checkpoint, weights=weights)


def _even_norm(weights: dict[str, FloatArray], norm: str, fed: str, ranges: Ranges) -> None:
    matrix = weights[f"{fed}.weight"]
    largest = np.abs(matrix).max(axis=1).clip(1e-4)
    factor = ranges.norms[norm].clip(1e-3) ** _STRENGTH / largest ** (1 - _STRENGTH)
    factor = (factor / np.exp(np.log(factor).mean())).clip(1 / 64, 64).astype(np.float32)
    weights[f"{norm}.weight"] = weights[f"{norm}.weight"] / factor
    weights[f"{norm}.bias"] = weights[f"{norm}.bias"] / factor
    weights[f"{fed}.weight"] = matrix * factor[:, None]


def _even_attention(
    weights: dict[str, FloatArray], name: str, keys: FloatArray, values: FloatArray
) -> None:
    keys, values = keys.clip(1e-6), values.clip(1e-6)
    packed = np.concatenate([keys, 1 / keys, 1 / values])
    weights[f"{name}.c_attn.weight"] = weights[f"{name}.c_attn.weight"] * packed
    weights[f"{name}.c_attn.bias"] = weights[f"{name}.c_attn.bias"] * packed
    weights[f"{name}.c_proj.weight"] = weights[f"{name}.c_proj.weight"] * values[:, None]


def _measure(checkpoint: Checkpoint, texts: Iterable[npt.NDArray[np.int64]]) -> Ranges:
    import onnxruntime as ort

    config = checkpoint.config
    network = Network(checkpoint, FloatMatrices(checkpoint), None)
    model, norms = network.observer()
    kinds = [f"present_{kind}_{i}" for kind in ("key", "value") for i in range(config.n_layer)]
    peaks = np.zeros((len(norms) + len(kinds), config.n_embd), np.float32)
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / MODEL_DATA_FILE).write_bytes(network.weights.data)
        path = Path(directory) / MODEL_FILE
        path.write_bytes(model.SerializeToString())
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for ids in texts:
            results = session.run([*norms, *kinds], _first_pass(checkpoint, ids))
            for peak, result in zip(peaks, results, strict=True):
                # Keys and values come as (1, n_head, S, head_size), norms as (1, S, n_embd).
                largest = np.abs(result).max(axis=-2).reshape(config.n_embd)
                np.maximum(peak, largest, out=peak)
    names = [name.removesuffix(".out") for name in norms]
    keys, values = np.split(peaks[len(norms) :], 2)
    return Ranges(dict(zip(names, peaks, strict=False)), keys, values)


def _first_pass(
    checkpoint: Checkpoint, ids: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.generic]]:
    """Inputs that run `ids` from position 0."""
    config = checkpoint.config
    empty = np.zeros((1, config.n_head, 0, config.head_size), np.float32)
    feed: dict[str, npt.NDArray[np.generic]] = {
        "input_ids": ids[None],
        "position_ids": np.arange(len(ids))[None],
        "seqlens_k": np.array([len(ids) - 1], np.int32),
        "total_sequence_length": np.array([len(ids)], np.int32),
    }
    for layer in range(config.n_layer):
        feed |= {f"past_{kind}_{layer}": empty for kind in ("key", "value")}
    return feed
