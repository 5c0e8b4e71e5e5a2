"""Token ids to top-k logits through ONNX Runtime; owns the keys and values (`slots.py`).

ONNX Runtime's GroupQueryAttention reads the past from them and writes the new positions into them
in place, because the same memory is bound as its past input and its present output. A slot is a
sequence's place in that memory; binding a prefix of the slots decodes that many sequences together,
binding one slot's slice fills it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inference.bundle import GPU_COPY_FILE, GPU_FILE, MANIFEST_FILE, MODEL_FILE, Bundle
from inference.errors import BundleError
from inference.process import mapped_file_let_go
from inference.slots import DeviceSlots, HostSlots, KVSnapshot, Slots

if TYPE_CHECKING:
    import onnxruntime as ort

_CACHE_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int8)": np.dtype(np.int8),
}

# Tokens in one run of the graph: enough to keep the processor busy, and a bound on its memory.
_PREFILL_CHUNK = 256


class TopK(NamedTuple):
    """The largest logits of each sequence, in falling order.

    Both arrays are the runner's own memory and are overwritten by its next call of the same kind,
    prefill or decode.
    """

    values: npt.NDArray[np.float32]  # (B, K)
    ids: npt.NDArray[np.int64]  # (B, K)

    def only(self, place: int) -> TopK:
        """Those of one sequence."""
        return TopK(self.values[place : place + 1], self.ids[place : place + 1])

    def copy(self) -> TopK:
        """The same in memory of its own."""
        return TopK(self.values.copy(), self.ids.copy())


@dataclass(frozen=True, slots=True)
class Device:
    """What runs a graph: `name` and `provider` are ONNX Runtime's, `graph` a file of the bundle."""

    name: str
    provider: str
    graph: str


CPU = Device("cpu", "CPUExecutionProvider", MODEL_FILE)
CUDA = Device("cuda", "CUDAExecutionProvider", GPU_FILE)


class Runner:
    """A loaded model with room for `slots` sequences. One thread owns it; one other may load and
    prefill slots that the first does not touch meanwhile.

    `choice_scores`, float32 (slots), is None for a bundle without a second head. Its first B values
    are the head's scores of the B sequences last decoded, each as it ends with its newest token.
    """

    def __init__(self, bundle: Bundle, *, slots: int, threads: int, device: Device = CPU) -> None:
        if slots < 1 or threads < 1:
            raise ValueError(f"slots and threads must be 1 or more, not {slots} and {threads}")
        self._session = _create_session(bundle, device, threads)
        self.device = device.name
        # A GPU does one thing after the other anyway, and what is bound to it is for one of them.
        self._turn = nullcontext() if device is CPU else Lock()
        self._weights = bundle.weights_path
        self.slots = slots
        self.n_ctx = bundle.n_ctx
        try:
            self._bind(bundle, device, threads)
            # The last token and position: what the graph has no room for fails now, not in a chat.
            self._prefill(0, [bundle.vocab_size - 1], self.n_ctx - 1)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise BundleError(
                f"{bundle.path / device.graph}: is no model of the shape and kind that "
                f"{MANIFEST_FILE} states ({type(error).__name__}: {reason})."
            ) from error

    def _bind(self, bundle: Bundle, device: Device, threads: int) -> None:
        """Memory for everything that goes in and out, and its bindings."""
        slots = self.slots
        inputs = {item.name: item for item in self._session.get_inputs()}
        outputs = {item.name: item for item in self._session.get_outputs()}
        self.top_k = int(outputs["top_ids"].shape[1])
        self._layers = bundle.n_layer
        head_size = bundle.n_embd // bundle.n_head
        shape = (2 * bundle.n_layer, slots, bundle.n_head, bundle.n_ctx, head_size)
        dtype = _CACHE_DTYPES[inputs["past_key_0"].type]
        self._memory: Slots
        if device is CPU:
            self._memory = HostSlots(shape, dtype)
        else:
            copier = _session(bundle.path / GPU_COPY_FILE, device, threads)
            self._memory = DeviceSlots(shape, dtype, device.name, copier)
        self._shared = device is CPU
        choice_head = bundle.choice_head
        self._prompt = _Feed(1, min(_PREFILL_CHUNK, bundle.n_ctx), self.top_k, choice_head)
        self._batch = _Feed(slots, 1, self.top_k, choice_head)
        self.choice_scores = self._batch.scores
        self._prefill_bindings = [self._bind_outer(self._prompt, slot, 1) for slot in range(slots)]
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
            with self._turn:
                self._prefill(slot, token_ids[start : start + _PREFILL_CHUNK], past + start)
        return self._prompt.top(1)

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
        feed, binding = self._batch, self._decode_bindings[batch - 1]
        feed.ids[:batch] = token_ids
        feed.positions[:batch] = lengths
        feed.last_position[:batch] = lengths
        feed.longest[0] = longest
        with self._turn:
            if not self._shared:
                self._bind_inputs(binding, feed, batch, 1)
            self._run(binding)
        return feed.top(batch)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one slot over another's."""
        with self._turn:
            self._memory.move(source, target, length)

    def save(self, slot: int, length: int) -> KVSnapshot:
        """A copy of the first `length` positions of a slot."""
        with self._turn:
            return self._memory.save(slot, length)

    def load(self, slot: int, snapshot: KVSnapshot, length: int) -> None:
        """Write the first `length` positions of a snapshot into a slot."""
        if length > snapshot.length:
            raise ValueError(f"the snapshot holds {snapshot.length} positions, not {length}")
        with self._turn:
            self._memory.load(slot, snapshot, length)

    def rest(self) -> None:
        """No slot is in use: give back memory that the next call has again at once."""
        self._memory.rest()
        mapped_file_let_go(self._weights)

    def close(self) -> None:
        """Let go of the model and the cache. The runner is of no use afterwards."""
        self._prefill_bindings.clear()
        self._decode_bindings.clear()
        del self._session
        del self._memory

    def _prefill(self, slot: int, token_ids: Sequence[int] | npt.NDArray[Any], past: int) -> None:
        count = len(token_ids)
        feed, binding = self._prompt, self._prefill_bindings[slot]
        feed.ids[:count] = token_ids
        feed.positions[:count] = np.arange(past, past + count)
        feed.last_position[0] = past + count - 1
        feed.longest[0] = past + count
        self._bind_inputs(binding, feed, 1, count)
        self._run(binding)

    def _run(self, binding: ort.IOBinding) -> None:
        self._session.run_with_iobinding(binding)
        if not self._shared:
            binding.synchronize_outputs()

    def _bind_inputs(self, binding: ort.IOBinding, feed: _Feed, batch: int, count: int) -> None:
        """What a step reads besides keys and values. On the processor it is read as the graph runs;
        a GPU gets a copy as it is bound."""
        _bind_input(binding, "input_ids", feed.ids, (batch, count))
        _bind_input(binding, "position_ids", feed.positions, (batch, count))
        _bind_input(binding, "seqlens_k", feed.last_position, (batch,))
        _bind_input(binding, "total_sequence_length", feed.longest, (1,))

    def _bind_outer(self, feed: _Feed, slot: int, batch: int) -> ort.IOBinding:
        """The keys and values of `batch` slots, and what a step returns."""
        binding = self._session.io_binding()
        memory, (_, _, *sizes) = self._memory, self._memory.shape
        for layer in range(self._layers):
            for offset, kind in enumerate(("key", "value")):
                where = (
                    memory.device,
                    0,
                    memory.dtype,
                    (batch, *sizes),
                    memory.address(2 * layer + offset, slot),
                )
                binding.bind_input(f"past_{kind}_{layer}", *where)
                binding.bind_output(f"present_{kind}_{layer}", *where)
        _bind_output(binding, "top_values", feed.values, (batch, self.top_k))
        _bind_output(binding, "top_ids", feed.top_ids, (batch, self.top_k))
        if feed.scores is not None:
            _bind_output(binding, "choice_score", feed.scores, (batch,))
        return binding

    def _bind_decode(self, batch: int) -> ort.IOBinding:
        binding = self._bind_outer(self._batch, 0, batch)
        self._bind_inputs(binding, self._batch, batch, 1)
        return binding


class _Feed:
    """Memory for what goes in and out of runs of up to `rows` sequences of up to `tokens` tokens,
    keys and values aside."""

    def __init__(self, rows: int, tokens: int, top_k: int, choice_head: bool) -> None:
        self.ids = np.zeros(rows * tokens, np.int64)
        self.positions = np.zeros(rows * tokens, np.int64)
        self.last_position = np.zeros(rows, np.int32)
        self.longest = np.zeros(1, np.int32)
        self.values = np.zeros((rows, top_k), np.float32)
        self.top_ids = np.zeros((rows, top_k), np.int64)
        self.scores = np.zeros(rows, np.float32) if choice_head else None

    def top(self, rows: int) -> TopK:
        return TopK(self.values[:rows], self.top_ids[:rows])


def _create_session(bundle: Bundle, device: Device, threads: int) -> ort.InferenceSession:
    if device.graph not in bundle.files:
        raise BundleError(
            f"{bundle.path}: has no {device.graph}, which runs on a GPU; export it again, int8 or "
            "unquantised."
        )
    session = _session(bundle.path / device.graph, device, threads)
    # It maps the weights and has packed the matrices anew, without writing to what it mapped; of
    # the file only embeddings are used again, and of those a few rows.
    mapped_file_let_go(bundle.weights_path)
    return session


def _session(graph: Path, device: Device, threads: int) -> ort.InferenceSession:
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
    if device.provider not in ort.get_available_providers():
        raise BundleError(f"{graph}: wants the ONNX Runtime for GPUs (onnxruntime-gpu).")
    if device is CUDA:
        ort.preload_dlls()  # CUDA and cuDNN where they are installed as packages of Python's
    try:
        session = ort.InferenceSession(str(graph), options, providers=[device.provider])
    except Exception as error:
        raise BundleError(f"{graph}: ONNX Runtime cannot load it ({error}).") from error
    if device.provider not in session.get_providers():
        raise BundleError(
            f"{graph}: ONNX Runtime finds no GPU that it can use; its messages say what is missing."
        )
    return session


def _bind_input(
    binding: ort.IOBinding, name: str, memory: npt.NDArray[Any], shape: tuple[int, ...]
) -> None:
    binding.bind_input(name, "cpu", 0, memory.dtype, shape, memory.ctypes.data)


def _bind_output(
    binding: ort.IOBinding, name: str, memory: npt.NDArray[Any], shape: tuple[int, ...]
) -> None:
    binding.bind_output(name, "cpu", 0, memory.dtype, shape, memory.ctypes.data)
