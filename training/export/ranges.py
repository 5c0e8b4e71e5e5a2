"""How far the numbers inside a model go, measured over calibration texts in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inference.bundle import MODEL_DATA_FILE, MODEL_FILE
from training.checkpoints.directory import Checkpoint
from training.errors import CheckpointError
from training.export.graph import GraphBuilder
from training.export.network import Network
from training.export.quantize import Range
from training.export.weights import HEAD, FloatMatrices

if TYPE_CHECKING:
    import onnxruntime as ort


@dataclass(frozen=True, slots=True)
class Ranges:
    """`inputs` of each matrix by its name; `keys` and `values` of each layer, n_embd channels."""

    inputs: dict[str, Range]
    keys: list[Range]
    values: list[Range]


def measure_ranges(checkpoint: Checkpoint, texts: Iterable[npt.NDArray[np.int64]]) -> Ranges:
    """Run `texts`, token ids (S) with S at most n_ctx, of the kind that the model will see.

    Raises CheckpointError where there is no room for temporary files.
    """
    layers = range(checkpoint.config.n_layer)
    matrices = _Observed(checkpoint)
    network = Network(checkpoint, matrices, None)
    build = network.observed()
    for name in matrices.inputs.values():
        build.output(name, np.float32, None)
    cache = [f"present_{kind}_{i}" for kind in ("key", "value") for i in layers]
    outputs = [*matrices.inputs.values(), *cache]
    try:
        with tempfile.TemporaryDirectory() as directory:
            session = _session(Path(directory), network, build)
            ranges = [_ranges(session.run(outputs, _first_pass(checkpoint, ids))) for ids in texts]
    except OSError as error:
        raise CheckpointError(
            f"The weights cannot be written to a temporary file ({error.strerror or error}); "
            "free space, or set TMPDIR to a directory that has some."
        ) from error
    found = [_joined(each) for each in zip(*ranges, strict=True)]
    keys, values = len(matrices.inputs), len(matrices.inputs) + len(layers)
    inputs = dict(zip(matrices.inputs, found, strict=False))
    return Ranges(inputs, found[keys:values], found[values:])


class _Observed(FloatMatrices):
    """Remembers what it is asked to multiply: `inputs` are names in the graph by matrix."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.inputs: dict[str, str] = {}

    def linear(self, build: GraphBuilder, name: str, given: str, *, bias: bool = True) -> str:
        self.inputs[name] = given
        return super().linear(build, name, given, bias=bias)

    def head(self, build: GraphBuilder, given: str) -> str:
        self.inputs[HEAD] = given
        return super().head(build, given)


def _session(directory: Path, network: Network, build: GraphBuilder) -> ort.InferenceSession:
    import onnxruntime as ort

    (directory / MODEL_DATA_FILE).write_bytes(network.weights.data)
    path = directory / MODEL_FILE
    path.write_bytes(build.model().SerializeToString())
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _ranges(results: list[npt.NDArray[Any]]) -> list[Range]:
    """Of (1, S, channels) or (S, channels), and of keys and values (1, n_head, S, head_size)."""
    return [
        Range(
            low=x.min(axis=-2).ravel(),
            high=x.max(axis=-2).ravel(),
            peak=np.abs(x).max(axis=-1).ravel(),
            power=np.square(x).mean(axis=-1).ravel(),
        )
        for x in results
    ]


def _joined(ranges: Iterable[Range]) -> Range:
    ranges = list(ranges)
    return Range(
        low=np.minimum.reduce([each.low for each in ranges]),
        high=np.maximum.reduce([each.high for each in ranges]),
        peak=np.concatenate([each.peak for each in ranges]),
        power=np.concatenate([each.power for each in ranges]),
    )


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
