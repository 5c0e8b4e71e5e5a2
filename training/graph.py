"""Builds a GPT-2 as an ONNX graph of ONNX Runtime's fused operators, straight from the weights.

Inputs:   input_ids, position_ids int64 (B, S); seqlens_k int32 (B), the position of each
          sequence's last token; total_sequence_length int32 (1), the largest of them + 1;
          past_key_i, past_value_i (B, n_head, n_ctx, head_size).
Outputs:  top_values float32 and top_ids int64 (B, K), from the last token's logits, in falling
          order; present_key_i, present_value_i, which share memory with the past.

Operator reference: ONNX Runtime's ContribOperators.md, domain com.microsoft.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from inference.bundle import MODEL_DATA_FILE
from training.checkpoint import ACTIVATIONS, Checkpoint, FloatArray
from training.quantize import largest_block, quantize_matrix

MICROSOFT = "com.microsoft"
OPSET = 21
MICROSOFT_OPSET = 1
# ONNX Runtime maps each tensor of the data file on its own; pages must not be shared out unevenly.
ALIGNMENT = 4096


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """`bits` 8 or 4, or 0 for float32 weights; `top_k` logits come out per sequence."""

    bits: int = 8
    block_size: int = 128
    top_k: int = 64
    accuracy_level: int = 4


@dataclass
class GraphBuilder:
    """Nodes and weights of one graph; weights live in one external data file."""

    checkpoint: Checkpoint
    options: GraphOptions
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    offsets: dict[str, int] = field(default_factory=dict)

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one used output and return that output's name."""
        return self.nodes_out(operator, inputs, [output], **attributes)[0]

    def nodes_out(
        self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs; an empty name is an output that nobody reads."""
        domain = "" if operator in {"Gather", "MatMul", "Gemm", "TopK", "Add"} else MICROSOFT
        name = next(name for name in outputs if name)
        self.nodes.append(
            helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes)
        )
        return outputs

    def weight(self, name: str, values: npt.NDArray[Any], shared: str = "") -> str:
        """Store a tensor in the data file, or under a second name and shape what is there."""
        values = np.ascontiguousarray(values)
        if not shared:
            if values.nbytes >= ALIGNMENT:
                self.data.extend(bytes(-len(self.data) % ALIGNMENT))
            else:
                self.data.extend(bytes(-len(self.data) % 64))
            self.offsets[name] = len(self.data)
            self.data.extend(values.tobytes())
        tensor = TensorProto(
            name=name,
            dims=values.shape,
            data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
            data_location=TensorProto.EXTERNAL,
        )
        location = {
            "location": MODEL_DATA_FILE,
            "offset": self.offsets[shared or name],
            "length": values.nbytes,
        }
        for key, value in location.items():
            tensor.external_data.add(key=key, value=str(value))
        self.initializers.append(tensor)
        return name

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """Store a small tensor inside the model file."""
        self.initializers.append(onnx.numpy_helper.from_array(values, name))
        return name

    def linear(self, name: str, given: str) -> str:
        """x @ W + b with the checkpoint's `name`.weight (in, out) and `name`.bias."""
        weight = self.checkpoint.weights[f"{name}.weight"]
        bias = self.weight(f"{name}.bias", self.checkpoint.weights[f"{name}.bias"])
        if not self.options.bits:
            product = self.node(
                "MatMul", [given, self.weight(f"{name}.weight", weight)], f"{name}.product"
            )
            return self.node("Add", [product, bias], f"{name}.out")
        codes, scales = self.quantized(name, weight.T)
        return self._matmul(name, [given, codes, scales, "", "", bias], weight.shape[::-1])

    def quantized(self, name: str, weight: FloatArray) -> tuple[str, str]:
        """Store float32 (N, K) quantised; names of codes and scales."""
        block = largest_block(weight.shape[1], self.options.block_size)
        matrix = quantize_matrix(weight, bits=self.options.bits, block_size=block)
        return (
            self.weight(f"{name}.codes", matrix.codes),
            self.weight(f"{name}.scales", matrix.scales),
        )

    def _matmul(self, name: str, inputs: list[str], shape: tuple[int, ...]) -> str:
        return self.node(
            "MatMulNBits",
            inputs,
            f"{name}.out",
            N=shape[0],
            K=shape[1],
            bits=self.options.bits,
            block_size=largest_block(shape[1], self.options.block_size),
            accuracy_level=self.options.accuracy_level,
        )


def build_graph(checkpoint: Checkpoint, options: GraphOptions) -> tuple[onnx.ModelProto, bytes]:
    """The model and the content of its data file."""
    config = checkpoint.config
    build = GraphBuilder(checkpoint, options)
    embedded, table = _embed(build)
    positions = build.node(
        "Gather",
        [build.weight("wpe", checkpoint.weights["wpe.weight"]), "position_ids"],
        "positions",
    )
    normal, residual = _skip_norm(build, "h.0.ln_1", [embedded, positions])
    for layer in range(config.n_layer):
        normal, residual = _block(build, layer, normal, residual)
    last = build.constant("last", np.array(0, np.int64))
    final = build.node("Gather", [normal, last], "final", axis=1)
    logits = _head(build, final, table)
    count = build.constant("top_k", np.array([min(options.top_k, config.vocab_size)], np.int64))
    build.nodes_out("TopK", [logits, count], ["top_values", "top_ids"])
    return _model(build), bytes(build.data)


def _embed(build: GraphBuilder) -> tuple[str, list[str]]:
    """Token embeddings, and the stored table for a head that is tied to it."""
    weight = build.checkpoint.weights["wte.weight"]
    if not build.options.bits:
        table = build.weight("wte", weight)
        return build.node("Gather", [table, "input_ids"], "embedded"), [table]
    block = largest_block(weight.shape[1], build.options.block_size)
    matrix = quantize_matrix(weight, bits=build.options.bits, block_size=block)
    codes = build.weight("wte.codes", matrix.codes)
    scales = build.weight("wte.scales", matrix.scales)
    rows = build.weight("wte.rows", matrix.codes.reshape(len(weight), -1), shared=codes)
    embedded = build.node(
        "GatherBlockQuantized",
        [rows, "input_ids", scales],
        "embedded",
        bits=build.options.bits,
        block_size=block,
        gather_axis=0,
        quantize_axis=1,
    )
    return embedded, [codes, scales]


def _head(build: GraphBuilder, final: str, table: list[str]) -> str:
    weights = build.checkpoint.weights
    own = weights.get("lm_head.weight")
    if not build.options.bits:
        stored = table[0] if own is None else build.weight("lm_head", own)
        return build.node("Gemm", [final, stored], "logits", transB=1)
    if own is not None:
        table = list(build.quantized("lm_head", own))
    return build._matmul("lm_head", [final, *table], weights["wte.weight"].shape)


def _skip_norm(build: GraphBuilder, name: str, inputs: list[str]) -> tuple[str, str]:
    """Layer norm of the sum of two tensors; the norm and the sum."""
    weights = build.checkpoint.weights
    scale = build.weight(f"{name}.weight", weights[f"{name}.weight"])
    shift = build.weight(f"{name}.bias", weights[f"{name}.bias"])
    outputs = build.nodes_out(
        "SkipLayerNormalization",
        [*inputs, scale, shift],
        [f"{name}.out", "", "", f"{name}.sum"],
        epsilon=build.checkpoint.config.epsilon,
    )
    return outputs[0], outputs[3]


def _block(build: GraphBuilder, layer: int, normal: str, residual: str) -> tuple[str, str]:
    """One transformer block, ending in the norm that the next one starts with."""
    config = build.checkpoint.config
    name = f"h.{layer}"
    packed = build.linear(f"{name}.attn.c_attn", normal)
    attended = build.nodes_out(
        "GroupQueryAttention",
        [
            packed,
            "",
            "",
            f"past_key_{layer}",
            f"past_value_{layer}",
            "seqlens_k",
            "total_sequence_length",
        ],
        [f"{name}.attn", f"present_key_{layer}", f"present_value_{layer}"],
        num_heads=config.n_head,
        kv_num_heads=config.n_head,
        scale=_attention_scale(build, layer),
    )[0]
    if layer == config.n_layer - 1:
        # Only the last position's logits are wanted, so the rest of the last block runs on it alone.
        index = build.constant("last_position", np.array([-1], np.int64))
        attended = build.node("Gather", [attended, index], "attended.last", axis=1)
        residual = build.node("Gather", [residual, index], "residual.last", axis=1)
    projected = build.linear(f"{name}.attn.c_proj", attended)
    normal, residual = _skip_norm(build, f"{name}.ln_2", [projected, residual])
    hidden = build.linear(f"{name}.mlp.c_fc", normal)
    active = build.node(ACTIVATIONS[config.activation], [hidden], f"{name}.active")
    projected = build.linear(f"{name}.mlp.c_proj", active)
    following = "ln_f" if layer == config.n_layer - 1 else f"h.{layer + 1}.ln_1"
    return _skip_norm(build, following, [projected, residual])


def _attention_scale(build: GraphBuilder, layer: int) -> float:
    config = build.checkpoint.config
    scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_by_head else 1.0
    return float(scale / (layer + 1) if config.scale_by_layer else scale)


def _model(build: GraphBuilder) -> onnx.ModelProto:
    config = build.checkpoint.config
    cache = ["batch", config.n_head, config.n_ctx, config.n_embd // config.n_head]
    top_k = min(build.options.top_k, config.vocab_size)
    info = helper.make_tensor_value_info
    inputs = [
        info("input_ids", TensorProto.INT64, ["batch", "sequence"]),
        info("position_ids", TensorProto.INT64, ["batch", "sequence"]),
        info("seqlens_k", TensorProto.INT32, ["batch"]),
        info("total_sequence_length", TensorProto.INT32, [1]),
    ]
    outputs = [
        info("top_values", TensorProto.FLOAT, ["batch", top_k]),
        info("top_ids", TensorProto.INT64, ["batch", top_k]),
    ]
    for layer in range(config.n_layer):
        for kind in ("key", "value"):
            inputs.append(info(f"past_{kind}_{layer}", TensorProto.FLOAT, cache))
            outputs.append(info(f"present_{kind}_{layer}", TensorProto.FLOAT, cache))
    graph = helper.make_graph(build.nodes, "gpt2", inputs, outputs, build.initializers)
    return helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid("", OPSET),
            helper.make_opsetid(MICROSOFT, MICROSOFT_OPSET),
        ],
        ir_version=10,
        producer_name="persona-chatbot",
    )
