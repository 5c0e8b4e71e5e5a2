"""How the matrices of a GPT-2 are stored and multiplied: float32, 8 bits or 4 bits."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from training.checkpoint import Checkpoint, ExportError
from training.graph import GraphBuilder
from training.quantize import (
    BLOCK_BITS,
    BLOCK_SIZE,
    FloatArray,
    QuantizedBlocks,
    QuantizedRows,
    quantize_blocks,
    quantize_rows,
)


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
    def head(self, build: GraphBuilder, given: str) -> tuple[str, str]:
        """Logits (R, vocab_size) of `given` (R, n_embd).

        The second name is empty, or a positive factor (R, 1) that the logits have yet to be
        multiplied by: it does not change their order, so few of them need it.
        """

    def _bias(self, build: GraphBuilder, name: str) -> str:
        return build.weight(f"{name}.bias", self._weights[f"{name}.bias"])


class FloatMatrices(Matrices):
    """Plain float32: the reference, and what needs no integer kernels."""

    def embed(self, build: GraphBuilder, ids: str) -> str:
        return build.node("Gather", [self._matrix(build, "wte"), ids], "embedded")

    def linear(self, build: GraphBuilder, name: str, given: str, *, bias: bool = True) -> str:
        product = build.node("MatMul", [given, self._matrix(build, name)], f"{name}.product")
        if not bias:
            return product
        return build.node("Add", [product, self._bias(build, name)], f"{name}.biased")

    def head(self, build: GraphBuilder, given: str) -> tuple[str, str]:
        return build.node("Gemm", [given, self._matrix(build, self._head)], "logits", transB=1), ""

    def _matrix(self, build: GraphBuilder, name: str) -> str:
        return build.weight(f"{name}.weight", self._weights[f"{name}.weight"])


class Int8Matrices(Matrices):
    """8-bit products: weights with a scale per output, activations with a scale per token.

    A token's scale is computed as the graph runs, from that token alone, so that a sequence gives
    the same logits whatever it shares a batch with; ONNX Runtime's own dynamic quantisation has
    one scale for the whole batch. Scheme: Yao et al. 2022, "ZeroQuant", section 4.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self._quantized: dict[str, QuantizedRows] = {}

    def embed(self, build: GraphBuilder, ids: str) -> str:
        codes, scales = self._table(build, "wte")
        rows = build.node("Gather", [codes, ids], "embedded.codes")
        column = build.weight("wte.column", self._rows("wte").scales[:, None], like=scales)
        factors = build.node("Gather", [column, ids], "embedded.scales")
        values = build.node("Cast", [rows], "embedded.values", to=1)
        return build.node("Mul", [values, factors], "embedded")

    def linear(self, build: GraphBuilder, name: str, given: str, *, bias: bool = True) -> str:
        matrix = self._rows(name, transpose=True)
        codes = build.weight(f"{name}.codes", matrix.codes.T)
        scales = build.weight(f"{name}.scales", matrix.scales)
        quantized, factor = self._quantize(build, name, given)
        step, zero = self._activation(build)
        inputs = [quantized, codes, step, scales, zero]
        product = build.node("MatMulIntegerToFloat", inputs, f"{name}.unscaled")
        product = build.node("Mul", [product, factor], f"{name}.product")
        if not bias:
            return product
        return build.node("Add", [product, self._bias(build, name)], f"{name}.biased")

    def head(self, build: GraphBuilder, given: str) -> tuple[str, str]:
        quantized, factor = self._quantize(build, "head", given)
        codes, scales = self._table(build, self._head)
        zeros = np.zeros(len(self._rows(self._head).scales), np.int8)
        inputs = [quantized, *self._activation(build), codes, scales]
        inputs.append(build.weight(f"{self._head}.zeros", zeros))
        return build.node("QGemm", inputs, "logits", transB=1), factor

    def _rows(self, name: str, *, transpose: bool = False) -> QuantizedRows:
        if name not in self._quantized:
            weight = self._weights[f"{name}.weight"]
            self._quantized[name] = quantize_rows(weight.T if transpose else weight)
        return self._quantized[name]

    def _table(self, build: GraphBuilder, name: str) -> tuple[str, str]:
        codes = build.weight(f"{name}.codes", self._rows(name).codes)
        return codes, build.weight(f"{name}.scales", self._rows(name).scales)

    def _quantize(self, build: GraphBuilder, name: str, given: str) -> tuple[str, str]:
        """Codes uint8 of each token's vector, and its largest magnitude."""
        axis = build.constant("last_axis", [-1], np.int64)
        magnitude = build.node("Abs", [given], f"{name}.magnitude")
        largest = build.node("ReduceMax", [magnitude, axis], f"{name}.largest", keepdims=1)
        ratio = build.node("Div", [given, largest], f"{name}.ratio")
        inputs = [ratio, *self._activation(build)]
        return build.node("QuantizeLinear", inputs, f"{name}.quantized"), largest

    def _activation(self, build: GraphBuilder) -> tuple[str, str]:
        return (
            build.constant("activation.scale", 1 / 127, np.float32),
            build.constant("activation.zero", 128, np.uint8),
        )


class Int4Matrices(Matrices):
    """4-bit weights in blocks of 32; half the bytes of 8 bits, at a cost in quality."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        for name in ("n_embd", "n_inner"):
            if getattr(checkpoint.config, name) % BLOCK_SIZE:
                raise ExportError(
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

    def head(self, build: GraphBuilder, given: str) -> tuple[str, str]:
        inputs = [given, *self._stored(build, self._head)]
        return self._product(build, inputs, "logits", self._weights[f"{self._head}.weight"]), ""

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
