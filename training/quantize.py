"""Block-wise weight quantisation, in the layout of ONNX Runtime's MatMulNBits.

Symmetric: each block of `block_size` consecutive weights along the input dimension has one float32
scale, and the code of zero is the middle of the range (128 for 8 bits, 8 for 4 bits).
Operator reference: ONNX Runtime's ContribOperators.md, com.microsoft.MatMulNBits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK_SIZES = (128, 64, 32, 16)


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """A weight matrix of N output and K input features.

    `codes` is uint8 (N, K / block_size, block_size * bits / 8), `scales` float32
    (N, K / block_size).
    """

    codes: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    bits: int
    block_size: int


def largest_block(features: int, limit: int) -> int:
    """The largest block size up to `limit` that divides `features`; 0 when none does."""
    return next((size for size in BLOCK_SIZES if size <= limit and features % size == 0), 0)


def quantize_matrix(
    weight: npt.NDArray[np.float32], *, bits: int, block_size: int
) -> QuantizedMatrix:
    """Quantise `weight`, float32 (N, K) with K a multiple of `block_size`, to 8 or 4 bits."""
    outputs, features = weight.shape
    blocks = weight.reshape(outputs, features // block_size, block_size)
    middle = 1 << (bits - 1)
    if bits == 8:
        scales = np.abs(blocks).max(axis=2) / (middle - 1)
    else:
        scales = _search_scales(blocks, middle)
    inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scales != 0)
    codes = np.rint(blocks * inverse[:, :, None]).clip(-middle, middle - 1)
    codes = (codes + middle).astype(np.uint8)
    if bits == 4:
        codes = codes[:, :, 0::2] | (codes[:, :, 1::2] << 4)
    return QuantizedMatrix(codes, scales.astype(np.float32), bits, block_size)


def dequantize_matrix(matrix: QuantizedMatrix) -> npt.NDArray[np.float32]:
    """Float32 (N, K): what the codes stand for."""
    codes = matrix.codes
    if matrix.bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=3).reshape(*codes.shape[:2], -1)
    values = codes.astype(np.float32) - (1 << (matrix.bits - 1))
    return (values * matrix.scales[:, :, None]).reshape(codes.shape[0], -1)


def _search_scales(blocks: npt.NDArray[np.float32], middle: int) -> npt.NDArray[np.float32]:
    """Per block, the scale with the least squared error among a few below and above the extremes.

    The extreme with the larger magnitude is mapped to the end of the range that has one code more.
    """
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)[
        :, :, 0
    ]
    best = extreme / -middle
    least = np.full(best.shape, np.inf, np.float32)
    for share in np.linspace(0.7, 1.1, 17, dtype=np.float32):
        scale = extreme * share / -middle
        safe = np.where(scale == 0, 1, scale)[:, :, None]
        rounded = np.rint(blocks / safe).clip(-middle, middle - 1) * safe
        error = np.square(rounded - blocks).sum(axis=2)
        better = error < least
        best = np.where(better, scale, best)
        least = np.where(better, error, least)
    return best.astype(np.float32)
