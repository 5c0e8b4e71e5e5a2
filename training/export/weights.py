"""How the matrices of a GPT-2 are stored and multiplied: float32, 8 bits or 4 bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.checkpoints.directory import Checkpoint
from training.errors import CheckpointError
from training.export.graph import GraphBuilder
from training.export.quantize import (
    BLOCK_BITS,
    BLOCK_SIZE,
    FloatArray,
    QuantizedBlocks,
    QuantizedRows,
    Range,
    activation_codes,
    quantize_blocks,
    quantize_rows,
)

# The name under which the logits' matrix is asked about; its weights are lm_head's or wte's.
HEAD = "head"


class Matrices(ABC):
    """Adds the products with a checkpoint's matrices to a graph. May serve several graphs."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._weights = checkpoint.weights
        self._head = "lm_head" if "lm_head.weight" in checkpoint.weights else "wte"

    @abstractmethod
    def embed(self, build: GraphBuilder, ids: str) -> str:
        """Rows of the token table: (B, S) ids to (B, S, n_embd)."""

    @abstractmethod
    def linear(self, build: GraphBuilder, name: str, given: str, *, bias: bool = True) -> str:
        """`given` (B, S, in) times the matrix `name`.weight (in, out), plus its bias."""

    @abstractmethod
    def head(self, build: GraphBuilder, given: str) -> str:
        """Logits (R, vocab_size) of `given` (R, n_embd)."""

    def whole(self, build: GraphBuilder, name: str) -> str:
        """The matrix `name`.weight in float32, made of what is stored of it.

        Raises NotImplementedError where that is in no plain numbers.
        """
        raise NotImplementedError

    def _bias(self, build: GraphBuilder, name: str) -> str:
        return build.weight(f"{name}.bias", self._weights[f"{name}.bias"])

    def _add_bias(self, build: GraphBuilder, name: str, product: str) -> str:
        return build.node("Add", [product, self._bias(build, name)], f"{name}.biased")


class FloatMatrices(Matrices):
    """Plain float32: the reference, and what needs no integer kernels."""

    def embed(self, build: GraphBuilder, ids: str) -> str:
        return build.node("Gather", [self._matrix(build, "wte"), ids], "embedded")

    def linear(self, build: GraphBuilder, name: str, given: str, *, bias: bool = True) -> str:
        product = build.node("MatMul", [given, self._matrix(build, name)], f"{name}.product")
        return self._add_bias(build, name, product) if bias else product

    def head(self, build: GraphBuilder, given: str) -> str:
        return build.node("Gemm", [given, self._matrix(build, self._head)], "logits", transB=1)

    def whole(self, build: GraphBuilder, name: str) -> str:
        return build.weight(f"{name}.weight", self._weights[f"{name}.weight"])

    def _matrix(self, build: GraphBuilder, name: str) -> str:
        return self.whole(build, name)


class HalfMatrices(FloatMatrices):
    """16-bit floats, for GPUs. They are made of what `stored` keeps while the graph is loaded, so
    that the weight file holds every matrix once."""

    def __init__(self, checkpoint: Checkpoint, stored: Matrices) -> None:
        super().__init__(checkpoint)
        self._stored = stored

    def _matrix(self, build: GraphBuilder, name: str) -> str:
        return build.cast(self._stored.whole(build, name), f"{name}.half", np.float16)

    def _bias(self, build: GraphBuilder, name: str) -> str:
        return build.cast(super()._bias(build, name), f"{name}.bias.half", np.float16)


@dataclass(frozen=True, slots=True)
class _Entering:
    """Names in a graph: codes uint8, how wide a code is, which of them is 0, and a factor for each
    token by which products have yet to be multiplied, or nothing."""

    codes: str
    width: str
    zero: str
    factor: str


class Int8Matrices(Matrices):
    """8-bit products: weights with a scale per output, activations with one scale per matrix.

    `inputs` is what enters each matrix, measured beforehand, so that nothing is looked for as the
    graph runs. One scale is enough once channels are even (Xiao et al. 2023, "SmoothQuant", O3);
    where it is not, each token has its own (Yao et al. 2022, "ZeroQuant", section 4). Either way a
    sequence gives the same logits whatever it shares a batch with; ONNX Runtime's own dynamic
    quantisation has one scale for the whole batch.
    """

    def __init__(self, checkpoint: Checkpoint, inputs: Mapping[str, Range]) -> None:
        super().__init__(checkpoint)
        self._inputs = inputs
        self._quantized: dict[str, QuantizedRows] = {}

    def embed(self, build: GraphBuilder, ids: str) -> str:
        codes, scales = self._table(build, "wte")
        rows = build.node("Gather", [codes, ids], "embedded.codes")
        column = build.weight("wte.column", self._rows("wte").scales[:, None], like=scales)
        factors = build.node("Gather", [column, ids], "embedded.scales")
        values = build.node("Cast", [rows], "embedded.values", to=1)
        return build.node("Mul", [values, factors], "embedded")

    def linear(self, build: GraphBuilder, name: str, given: str, *, bias: bool = True) -> str:
        codes, scales = self._coded(build, name)
        entering = self._quantize(build, name, given)
        inputs = [entering.codes, codes, entering.width, scales, entering.zero]
        if not entering.factor:
            inputs += ["", self._bias(build, name)] if bias else []
            return build.node("MatMulIntegerToFloat", inputs, f"{name}.product")
        product = build.node("MatMulIntegerToFloat", inputs, f"{name}.unscaled")
        product = build.node("Mul", [product, entering.factor], f"{name}.product")
        return self._add_bias(build, name, product) if bias else product

    def head(self, build: GraphBuilder, given: str) -> str:
        codes, scales = self._table(build, self._head)
        zeros = np.zeros(len(self._rows(self._head).scales), np.int8)
        entering = self._quantize(build, HEAD, given)
        inputs = [entering.codes, entering.width, entering.zero, codes, scales]
        inputs.append(build.weight(f"{self._head}.zeros", zeros))
        if not entering.factor:
            return build.node("QGemm", inputs, "logits", transB=1)
        product = build.node("QGemm", inputs, "logits.unscaled", transB=1)
        return build.node("Mul", [product, entering.factor], "logits")

    def whole(self, build: GraphBuilder, name: str) -> str:
        if name in ("wte", "lm_head"):
            codes, rows = self._table(build, name)
            axis = build.constant("column", [1], np.int64)
            scales = build.node("Unsqueeze", [rows, axis], f"{name}.column.whole")
        else:
            codes, scales = self._coded(build, name)
        values = build.cast(codes, f"{name}.values", np.float32)
        return build.node("Mul", [values, scales], f"{name}.whole")

    def _coded(self, build: GraphBuilder, name: str) -> tuple[str, str]:
        """Codes (in, out) and scales (out)."""
        rows = self._rows(name, transpose=True)
        codes = build.weight(f"{name}.codes", rows.codes.T)
        return codes, build.weight(f"{name}.scales", rows.scales)

    def _rows(self, name: str, *, transpose: bool = False) -> QuantizedRows:
        if name not in self._quantized:
            weight = self._weights[f"{name}.weight"]
            self._quantized[name] = quantize_rows(weight.T if transpose else weight)
        return self._quantized[name]

    def _table(self, build: GraphBuilder, name: str) -> tuple[str, str]:
        codes = build.weight(f"{name}.codes", self._rows(name).codes)
        return codes, build.weight(f"{name}.scales", self._rows(name).scales)

    def _quantize(self, build: GraphBuilder, name: str, given: str) -> _Entering:
        """What enters the matrix `name` in 8 bits."""
        fitting = activation_codes(self._inputs[name])
        # A token's vector over its own largest magnitude lies within 1.
        width, zero = fitting or (1 / 127, 128)
        step = build.constant(f"{name}.width", width, np.float32)
        middle = build.constant(f"{name}.zero", zero, np.uint8)
        largest = ""
        if not fitting:
            axis = build.constant("last_axis", [-1], np.int64)
            magnitude = build.node("Abs", [given], f"{name}.magnitude")
            largest = build.node("ReduceMax", [magnitude, axis], f"{name}.largest", keepdims=1)
            given = build.node("Div", [given, largest], f"{name}.ratio")
        codes = build.node("QuantizeLinear", [given, step, middle], f"{name}.quantized")
        return _Entering(codes, step, middle, largest)


class Int4Matrices(Matrices):
    """4-bit weights in blocks of 32; half the bytes of 8 bits, at a cost in quality."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        for name in ("n_embd", "n_inner"):
            if getattr(checkpoint.config, name) % BLOCK_SIZE:
                raise CheckpointError(
                    f"{checkpoint.path}: int4 needs {name} to be a multiple of {BLOCK_SIZE}, "
                    f"not {getattr(checkpoint.config, name)}; int8 takes any."
                )
        super().__init__(checkpoint)
        self._quantized: dict[str, QuantizedBlocks] = {}

    def embed(self, build: GraphBuilder, ids: str) -> str:
        codes, scales = self._stored(build, "wte")
        flat = self._quantized["wte"].codes.reshape(len(self._quantized["wte"].codes), -1)
        return build.node(
            "GatherBlockQuantized",
            [build.weight("wte.rows", flat, like=codes), ids, scales],
            "embedded",
            bits=BLOCK_BITS,
            block_size=BLOCK_SIZE,
            gather_axis=0,
            quantize_axis=1,
        )

    def linear(self, build: GraphBuilder, name: str, given: str, *, bias: bool = True) -> str:
        inputs = [given, *self._stored(build, name, transpose=True)]
        if bias:
            inputs += ["", "", self._bias(build, name)]
        return self._product(build, inputs, f"{name}.product", self._weights[f"{name}.weight"].T)

    def head(self, build: GraphBuilder, given: str) -> str:
        inputs = [given, *self._stored(build, self._head)]
        return self._product(build, inputs, "logits", self._weights[f"{self._head}.weight"])

    def _stored(
        self, build: GraphBuilder, name: str, *, transpose: bool = False
    ) -> tuple[str, str]:
        if name not in self._quantized:
            weight = self._weights[f"{name}.weight"]
            self._quantized[name] = quantize_blocks(weight.T if transpose else weight)
        blocks = self._quantized[name]
        return (
            build.weight(f"{name}.codes", blocks.codes),
            build.weight(f"{name}.scales", blocks.scales),
        )

    def _product(
        self, build: GraphBuilder, inputs: list[str], output: str, matrix: FloatArray
    ) -> str:
        return build.node(
            "MatMulNBits",
            inputs,
            output,
            N=matrix.shape[0],
            K=matrix.shape[1],
            bits=BLOCK_BITS,
            block_size=BLOCK_SIZE,
            accuracy_level=4,
        )
