"""Keys and values of all running replies: in the process's memory, or in a GPU's.

Either is laid out `(2 * n_layer, slots, n_head, n_ctx, head_size)`, layer i's keys at index 2i and
its values at 2i + 1, so that a prefix of the slots is one piece of memory: a batch.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime as ort

Shape = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class KVSnapshot:
    """The keys and values of one sequence's first `length` positions."""

    length: int
    data: npt.NDArray[Any]  # (2 * n_layer, n_head, length, head_size)

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes)


class Slots(Protocol):
    """Memory for keys and values, wherever it is. `device` is its name for ONNX Runtime."""

    shape: Shape
    dtype: np.dtype[Any]
    device: str

    def address(self, part: int, slot: int) -> int:
        """Where the keys or values of a slot, and of the slots after it, begin."""
        ...

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one slot over another's."""
        ...

    def save(self, slot: int, length: int) -> KVSnapshot:
        """A copy of the first `length` positions of a slot."""
        ...

    def load(self, slot: int, snapshot: KVSnapshot, length: int) -> None:
        """Write the first `length` positions of a snapshot into a slot."""
        ...

    def rest(self) -> None:
        """No slot is in use: give back memory that can be had again at once."""
        ...


class HostSlots:
    """In the process's memory. What no sequence has reached yet takes none."""

    device = "cpu"

    def __init__(self, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self._memory = _lazy_memory(math.prod(shape) * dtype.itemsize)
        self._data = np.frombuffer(self._memory, dtype).reshape(shape)

    def address(self, part: int, slot: int) -> int:
        return int(self._data[part, slot].ctypes.data)

    def move(self, source: int, target: int, length: int) -> None:
        self._data[:, target, :, :length] = self._data[:, source, :, :length]

    def save(self, slot: int, length: int) -> KVSnapshot:
        return KVSnapshot(length, self._data[:, slot, :, :length].copy())

    def load(self, slot: int, snapshot: KVSnapshot, length: int) -> None:
        self._data[:, slot, :, :length] = snapshot.data[:, :, :length]

    def rest(self) -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            self._memory.madvise(mmap.MADV_DONTNEED)


class DeviceSlots:
    """In the memory of a GPU; snapshots are in the process's own.

    ONNX Runtime copies to and from a device only what goes in and out of a graph, so `copier` is a
    session of a graph that does nothing else. Slots are copied whole: that is one piece of memory
    for each layer's keys or values.
    """

    def __init__(
        self, shape: Shape, dtype: np.dtype[Any], device: str, copier: ort.InferenceSession
    ) -> None:
        import onnxruntime as ort

        self.shape, self.dtype, self.device = shape, dtype, device
        self._data = ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, device, 0)
        self._copier, self._binding = copier, copier.io_binding()
        for slot in range(shape[1]):  # attention must not meet what is no number
            self._write(slot, np.zeros((shape[0], *shape[2:]), dtype))

    def address(self, part: int, slot: int) -> int:
        slots, *sizes = self.shape[1:]
        return int(self._data.data_ptr()) + (part * slots + slot) * self._bytes(sizes)

    def move(self, source: int, target: int, length: int) -> None:
        for part in range(self.shape[0]):
            self._copy(
                (self.device, self.address(part, source)), (self.device, self.address(part, target))
            )

    def save(self, slot: int, length: int) -> KVSnapshot:
        whole = np.empty((self.shape[0], *self.shape[2:]), self.dtype)
        for part, memory in enumerate(whole):
            self._copy((self.device, self.address(part, slot)), ("cpu", memory.ctypes.data))
        return KVSnapshot(length, whole[:, :, :length].copy())

    def load(self, slot: int, snapshot: KVSnapshot, length: int) -> None:
        whole = np.zeros((self.shape[0], *self.shape[2:]), self.dtype)
        whole[:, :, :length] = snapshot.data[:, :, :length]
        self._write(slot, whole)

    def rest(self) -> None:
        """A device's memory is taken once."""

    def _write(self, slot: int, whole: npt.NDArray[Any]) -> None:
        for part, memory in enumerate(whole):
            self._copy(("cpu", memory.ctypes.data), (self.device, self.address(part, slot)))

    def _copy(self, source: tuple[str, int], target: tuple[str, int]) -> None:
        """Copy one layer's keys or values of a slot from one (device, address) to another."""
        numbers = (math.prod(self.shape[2:]),)
        binding = self._binding
        binding.bind_input("source", source[0], 0, self.dtype, numbers, source[1])
        binding.bind_output("target", target[0], 0, self.dtype, numbers, target[1])
        self._copier.run_with_iobinding(binding)
        binding.synchronize_outputs()

    def _bytes(self, sizes: list[int]) -> int:
        return math.prod(sizes) * self.dtype.itemsize


def _lazy_memory(size: int) -> mmap.mmap:
    """So many zeros, whose pages take no memory until they are written."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # A huge page would make a whole slot resident for its first position.
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory
