"""Weight quantisation in the layouts of ONNX Runtime's integer operators. All of it is symmetric.

Operator reference: ONNX Runtime's ContribOperators.md, com.microsoft.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# On x86 without VNNI, MLAS multiplies unsigned activations by signed weights with VPMADDUBSW, which
# adds two products in 16 bits and saturates. 255 * 64 * 2 is the most that fits, so weights stay
# within 64: results are then exact there, and the same on every machine.
ROW_LIMIT = 64
BLOCK_BITS = 4
BLOCK_SIZE = 32
_CHUNK_ROWS = 4096
# Share of the power of what enters a matrix. 0.003 changed no perplexity.
_NOISE_LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class QuantizedRows:
    """codes int8 (N, K) within ±ROW_LIMIT and scales float32 (N): weight = codes * scales."""

    codes: npt.NDArray[np.int8]
    scales: FloatArray


@dataclass(frozen=True, slots=True)
class QuantizedBlocks:
    """4-bit codes, two to a byte, uint8 (N, K / 32, 16); scales float32 (N, K / 32). 8 is zero."""

    codes: npt.NDArray[np.uint8]
    scales: FloatArray


@dataclass(frozen=True, slots=True)
class Range:
    """How far vectors of (channels) go: `low` and `high` of each channel, `peak` (the largest
    magnitude) and `power` (the mean square) of each vector. All float32."""

    low: FloatArray
    high: FloatArray
    peak: FloatArray
    power: FloatArray

    @property
    def magnitude(self) -> FloatArray:
        """The largest of each channel without its sign."""
        return np.maximum(-self.low, self.high)


def activation_codes(found: Range) -> tuple[float, int] | None:
    """How wide an 8-bit code is and which code stands for 0, where that suits every token.

    None where one width costs most tokens much that a width for each token would not: pretrained
    GPT-2s make some numbers of the first token a hundred times as large as all others (Sun et al.
    2024, "Massive Activations in Large Language Models").
    """
    low, high = min(float(found.low.min()), 0.0), max(float(found.high.max()), 0.0)
    width = (high - low) / 255 or 1.0
    power = found.power.clip(1e-12)
    noise = (width**2 / 12 / power).clip(max=1).mean()
    noise_by_token = (np.square(found.peak / 127) / 12 / power).mean()
    if noise - noise_by_token > _NOISE_LIMIT:
        return None
    return width, round(-low / width)


def quantize_rows(weight: FloatArray) -> QuantizedRows:
    """One scale for each row of `weight`, float32 (N, K)."""
    codes = np.empty(weight.shape, np.int8)
    scales = np.empty(len(weight), np.float32)
    for start in range(0, len(weight), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        largest = np.abs(weight[part]).max(axis=1)
        scales[part] = np.where(largest > 0, largest, 1) / ROW_LIMIT
        codes[part] = np.rint(weight[part] / scales[part, None])
    return QuantizedRows(codes, scales)


def quantize_blocks(weight: FloatArray) -> QuantizedBlocks:
    """One scale for each 32 weights of a row of `weight`, float32 (N, K), K a multiple of 32."""
    blocks = weight.reshape(len(weight), -1, BLOCK_SIZE)
    parts = [blocks[start : start + _CHUNK_ROWS] for start in range(0, len(blocks), _CHUNK_ROWS)]
    scales = np.concatenate([_search_scales(part) for part in parts])
    codes = (np.rint(blocks / scales[:, :, None]).clip(-8, 7) + 8).astype(np.uint8)
    return QuantizedBlocks(codes[:, :, 0::2] | (codes[:, :, 1::2] << 4), scales)


def _search_scales(blocks: FloatArray) -> FloatArray:
    """Per block, the scale with the least squared error of some around the obvious one.

    The obvious one maps the extreme of larger magnitude to -8, the end that has one code more.
    """
    index = np.abs(blocks).argmax(axis=2, keepdims=True)
    extreme = np.take_along_axis(blocks, index, axis=2)[:, :, 0]
    extreme = np.where(extreme == 0, 1, extreme)
    best = extreme / -8
    least = np.full(best.shape, np.inf, np.float32)
    for share in np.linspace(0.7, 1.1, 17, dtype=np.float32):
        scale = extreme * (share / -8)
        rounded = np.rint(blocks / scale[:, :, None]).clip(-8, 7) * scale[:, :, None]
        error = np.square(rounded - blocks).sum(axis=2)
        best = np.where(error < least, scale, best)
        least = np.minimum(error, least)
    return best.astype(np.float32)
