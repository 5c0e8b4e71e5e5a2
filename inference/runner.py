"""Token ids to top-k logits through ONNX Runtime; owns the key/value cache.

One cache for the whole process, laid out `(2 * n_layer, slots, n_head, n_ctx, head_size)`: the keys
of layer i at index 2i, its values at 2i + 1. ONNX Runtime's GroupQueryAttention reads the past from
it and writes the new positions into it in place, because the same memory is bound as its past input
and its present output. A slot is a sequence's place in that cache; binding a prefix of the slots
decodes that many sequences together, binding one slot's slice fills it.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inference.bundle import MANIFEST_FILE, Bundle
from inference.errors import BundleError
from inference.process import mapped_file_let_go

if TYPE_CHECKING:
    import onnxruntime as ort

_CACHE_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(int8)": np.dtype(np.int8),
}

# Tokens in one run of the graph: enough to keep the processor busy, and a bound on its memory.
_PREFILL_CHUNK = 256


class TopK(NamedTuple):
    """The largest logits of each sequence, in falling order.

    Both arrays are the runner's own memory and are overwritten by its next call.
    """

    values: npt.NDArray[np.float32]  # (B, K)
    ids: npt.NDArray[np.int64]  # (B, K)

    def only(self, place: int) -> TopK:
        """Those of one sequence."""
        return TopK(self.values[place : place + 1], self.ids[place : place + 1])


@dataclass(frozen=True, slots=True)
class KVSnapshot:
    """The keys and values of one sequence's first `length` positions."""

    length: int
    data: npt.NDArray[Any]  # (2 * n_layer, n_head, length, head_size)

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes)


class Runner:
    """A loaded model with room for `slots` sequences. Not thread-safe: one thread owns it.

    `choice_scores`, float32 (slots), is None for a bundle without a second head. Its first B values
    are the head's scores of the last call's B sequences, each as it ends with its newest token.
    """

    def __init__(self, bundle: Bundle, *, slots: int, threads: int) -> None:
        if slots < 1 or threads < 1:
            raise ValueError(f"slots and threads must be 1 or more, not {slots} and {threads}")
        self._session = _create_session(bundle, threads)
        self.slots = slots
        self.n_ctx = bundle.n_ctx
        try:
            self._bind(bundle)
            # The last position there is: what the graph has no room for fails now, not in a chat.
            self._prefill(0, [0], self.n_ctx - 1)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise BundleError(
                f"{bundle.model_path}: is no model of the shape and kind that {MANIFEST_FILE} "
                f"states ({type(error).__name__}: {reason})."
            ) from error

    def _bind(self, bundle: Bundle) -> None:
        """Memory for everything that goes in and out, and its bindings."""
        slots = self.slots
        inputs = {item.name: item for item in self._session.get_inputs()}
        outputs = {item.name: item for item in self._session.get_outputs()}
        self.top_k = int(outputs["top_ids"].shape[1])
        self._layers = bundle.n_layer
        self._cache_dtype = _CACHE_DTYPES[inputs["past_key_0"].type]
        self._cache = _lazy_zeros(
            (
                2 * bundle.n_layer,
                slots,
                bundle.n_head,
                bundle.n_ctx,
                bundle.n_embd // bundle.n_head,
            ),
            self._cache_dtype,
        )
        self._ids = np.zeros(max(slots, bundle.n_ctx), np.int64)
        self._positions = np.zeros(max(slots, bundle.n_ctx), np.int64)
        self._last_position = np.zeros(slots, np.int32)
        self._longest = np.zeros(1, np.int32)
        self._values = np.zeros((slots, self.top_k), np.float32)
        self._top_ids = np.zeros((slots, self.top_k), np.int64)
        self.choice_scores = np.zeros(slots, np.float32) if bundle.choice_head else None
        self._prefill_bindings = [self._bind_cache(slot, 1) for slot in range(slots)]
        self._decode_bindings = [self._bind_decode(batch) for batch in range(1, slots + 1)]

    def prefill(self, slot: int, token_ids: Sequence[int] | npt.NDArray[Any], past: int) -> TopK:
        """Run `token_ids` as positions past, past + 1, … of one slot.

        Returns the logits after the last of them, arrays of shape (1, K). The slot must already
        hold its first `past` positions. Raises ValueError when they do not fit n_ctx.
        """
        count = len(token_ids)
        if not 0 <= slot < self.slots:
            raise ValueError(f"slot must be from 0 to {self.slots - 1}, not {slot}")
        if count < 1 or past < 0 or past + count > self.n_ctx:
            raise ValueError(f"{count} tokens after {past} do not fit {self.n_ctx} positions")
        for start in range(0, count, _PREFILL_CHUNK):
            self._prefill(slot, token_ids[start : start + _PREFILL_CHUNK], past + start)
        return TopK(self._values[:1], self._top_ids[:1])

    def decode(self, token_ids: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> TopK:
        """One token for each of the slots 0..B-1, at position `lengths[i]` of slot i.

        Returns arrays of shape (B, K). Raises ValueError when a slot is full.
        """
        batch = len(token_ids)
        longest = int(lengths.max()) + 1
        if not 1 <= batch <= self.slots or longest > self.n_ctx:
            raise ValueError(
                f"{batch} sequences of up to {longest} positions do not fit "
                f"{self.slots} slots of {self.n_ctx}"
            )
        self._ids[:batch] = token_ids
        self._positions[:batch] = lengths
        self._last_position[:batch] = lengths
        self._longest[0] = longest
        self._session.run_with_iobinding(self._decode_bindings[batch - 1])
        return TopK(self._values[:batch], self._top_ids[:batch])

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one slot over another's."""
        self._cache[:, target, :, :length] = self._cache[:, source, :, :length]

    def save(self, slot: int, length: int) -> KVSnapshot:
        """A copy of the first `length` positions of a slot."""
        return KVSnapshot(length, self._cache[:, slot, :, :length].copy())

    def load(self, slot: int, snapshot: KVSnapshot, length: int) -> None:
        """Write the first `length` positions of a snapshot into a slot."""
        if length > snapshot.length:
            raise ValueError(f"the snapshot holds {snapshot.length} positions, not {length}")
        self._cache[:, slot, :, :length] = snapshot.data[:, :, :length]

    def close(self) -> None:
        """Let go of the model and the cache. The runner is of no use afterwards."""
        self._prefill_bindings.clear()
        self._decode_bindings.clear()
        del self._session
        del self._cache

    def _prefill(self, slot: int, token_ids: Sequence[int] | npt.NDArray[Any], past: int) -> None:
        count = len(token_ids)
        self._ids[:count] = token_ids
        self._positions[:count] = np.arange(past, past + count)
        self._last_position[0] = past + count - 1
        self._longest[0] = past + count
        binding = self._prefill_bindings[slot]
        _bind_input(binding, "input_ids", self._ids, (1, count))
        _bind_input(binding, "position_ids", self._positions, (1, count))
        self._session.run_with_iobinding(binding)

    def _bind_cache(self, slot: int, batch: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        _, _, heads, n_ctx, head_size = self._cache.shape
        shape = (batch, heads, n_ctx, head_size)
        for layer in range(self._layers):
            for offset, kind in enumerate(("key", "value")):
                memory = self._cache[2 * layer + offset, slot]
                _bind_input(binding, f"past_{kind}_{layer}", memory, shape)
                _bind_output(binding, f"present_{kind}_{layer}", memory, shape)
        _bind_input(binding, "seqlens_k", self._last_position, (batch,))
        _bind_input(binding, "total_sequence_length", self._longest, (1,))
        _bind_output(binding, "top_values", self._values, (batch, self.top_k))
        _bind_output(binding, "top_ids", self._top_ids, (batch, self.top_k))
        if self.choice_scores is not None:
            _bind_output(binding, "choice_score", self.choice_scores, (batch,))
        return binding

    def _bind_decode(self, batch: int) -> ort.IOBinding:
        binding = self._bind_cache(0, batch)
        _bind_input(binding, "input_ids", self._ids, (batch, 1))
        _bind_input(binding, "position_ids", self._positions, (batch, 1))
        return binding


def _create_session(bundle: Bundle, threads: int) -> ort.InferenceSession:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Between two operators a thread spins this long before it sleeps. The default of 1 ms takes the
    # cores from whatever else runs on them: it halves the throughput of a busy server.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "30")
    # An arena keeps what loading borrows, and a plan for every prompt length that was ever run.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # The graph is written with the operators that are fastest; fusing further undoes that (the
    # fused SkipLayerNormalization is several times slower than what it replaces).
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        session = ort.InferenceSession(
            str(bundle.model_path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise BundleError(f"{bundle.model_path}: ONNX Runtime cannot load it ({error}).") from error
    # It maps the weights and has packed the matrices anew, without writing to what it mapped; of
    # the file only embeddings are used again, and of those a few rows.
    mapped_file_let_go(bundle.weights_path)
    return session


def _lazy_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Zeros whose pages take no memory until they are written."""
    size = math.prod(shape) * dtype.itemsize
    if not hasattr(mmap, "MAP_PRIVATE"):
        return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # A huge page would make a whole slot resident for its first position.
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)


def _bind_input(
    binding: ort.IOBinding, name: str, memory: npt.NDArray[Any], shape: tuple[int, ...]
) -> None:
    binding.bind_input(name, "cpu", 0, memory.dtype, shape, memory.ctypes.data)


def _bind_output(
    binding: ort.IOBinding, name: str, memory: npt.NDArray[Any], shape: tuple[int, ...]
) -> None:
    binding.bind_output(name, "cpu", 0, memory.dtype, shape, memory.ctypes.data)
