"""GPT-2 as graphs of ONNX Runtime's operators, built straight from the weights.

Inputs of every graph: input_ids and position_ids int64 (B, S); seqlens_k int32 (B), the position
of each sequence's last token; total_sequence_length int32 (1), the largest of them + 1; and
past_key_i, past_value_i (B, n_head, past, head_size) for each layer. present_key_i and
present_value_i have the shape of the past; serving binds both to the same memory.

Architecture: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
Operators: ONNX Runtime's ContribOperators.md, domain com.microsoft.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from training.checkpoints.directory import ACTIVATIONS, CHOICE_WEIGHT, Checkpoint
from training.export.graph import GraphBuilder, WeightFile
from training.export.weights import HalfMatrices, Int4Matrices, Matrices

# Directions in which tokens differ most, which say how common one is rather than what it means.
SHARED_COMPONENTS = 2


class Network:
    """One checkpoint with one way of storing its matrices; builds graphs on one weight file.

    What is no matrix is computed as a `number`, float32 or float16. `cache_scale` is None for keys
    and values kept as that. Otherwise they are kept as 8-bit integers, each `cache_scale` wide: the
    weights must then have been equalised so that one step suits every channel.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        matrices: Matrices,
        cache_scale: float | None,
        *,
        number: type[np.floating[Any]] = np.float32,
        weights: WeightFile | None = None,
    ) -> None:
        self.weights = weights or WeightFile()
        self._checkpoint = checkpoint
        self._config = checkpoint.config
        self._matrices = matrices
        self._cache_scale = cache_scale
        self._number = number

    @property
    def runs_on_gpus(self) -> bool:
        """Whether there is a graph for them. Matrices in blocks of 4 bits are the processor's."""
        return not isinstance(self._matrices, Int4Matrices)

    def half(self) -> Network:
        """The same network in 16-bit floats, keys and values too, on the same weight file.

        It computes with the weights as they are stored, rounded or not, and rounds nothing else.
        """
        matrices = HalfMatrices(self._checkpoint, self._matrices)
        return Network(self._checkpoint, matrices, None, number=np.float16, weights=self.weights)

    def generator(self, top_k: int) -> onnx.ModelProto:
        """The graph that serving runs: top_values float32 and top_ids int64, both (B, K).

        They are the largest logits after each sequence's last token, in falling order. Of a
        checkpoint with a second head also choice_score float32 (B): what it says of the sequence
        as it ends with that token.
        """
        build = GraphBuilder(self.weights)
        hidden = self._blocks(build, last_only=True)
        first = build.constant("first", 0, np.int64)
        final = build.node("Gather", [hidden, first], "final", axis=1)
        logits = self._float32(build, self._matrices.head(build, final))
        top_k = min(top_k, self._config.vocab_size)
        count = build.constant("top_k", [top_k], np.int64)
        build.node("TopK", [logits, count], "top_values", "top_ids")
        build.output("top_values", np.float32, ["batch", top_k])
        build.output("top_ids", np.int64, ["batch", top_k])
        self._choice(build, final, "batch")
        return build.model()

    def scorer(self) -> onnx.ModelProto:
        """The graph that evaluation runs: log-likelihood float32 (B * S) of the input `targets`.

        targets int64 (B, S) holds, for each position, the token whose probability is asked for.
        Of a checkpoint with a second head also choice_score float32 (B * S).
        """
        build = GraphBuilder(self.weights)
        final = self._every_position(build)
        logits = self._matrices.head(build, final)
        targets = build.input("targets", np.int64, ["batch", "sequence"])
        column = build.constant("column", [-1, 1], np.int64)
        targets = build.node("Reshape", [targets, column], "targets.column")
        chosen = build.node("GatherElements", [logits, targets], "chosen", axis=1)
        axis = build.constant("vocabulary", [1], np.int64)
        total = build.node("ReduceLogSumExp", [logits, axis], "total", keepdims=1)
        build.node("Sub", [chosen, total], "log_likelihood")
        build.output("log_likelihood", np.float32, ["positions", 1])
        self._choice(build, final, "positions")
        return build.model()

    def meanings(self) -> onnx.ModelProto:
        """The graph that finds what words have to do with each other: `meanings` float32 (T,
        n_embd) of the token `ids` int64 (T), each of length 1, without what all tokens share.

        All-but-the-Top, Mu and Viswanath 2018.
        """
        build = GraphBuilder(self.weights)
        table = self._checkpoint.weights["wte.weight"]
        mean = table.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(table, rowvar=False))
        shared = axes[:, -SHARED_COMPONENTS:].astype(np.float32)
        ids = build.input("ids", np.int64, ["tokens"])
        embedded = self._matrices.embed(build, ids)
        centred = build.node("Sub", [embedded, build.constant("mean", mean, np.float32)], "centred")
        parts = build.node(
            "MatMul", [centred, build.constant("shared", shared, np.float32)], "parts"
        )
        common = build.node(
            "MatMul", [parts, build.constant("shared.axes", shared.T, np.float32)], "common"
        )
        own = build.node("Sub", [centred, common], "own")
        build.node("LpNormalization", [own], "meanings", axis=-1, p=2)
        build.output("meanings", np.float32, ["tokens", self._config.n_embd])
        return build.model()

    def observed(self) -> GraphBuilder:
        """The network as far as its logits, to which a caller adds the outputs it wants to see."""
        build = GraphBuilder(self.weights)
        self._matrices.head(build, self._every_position(build))
        return build

    def _every_position(self, build: GraphBuilder) -> str:
        """The final hidden states (B * S, n_embd)."""
        rows = build.constant("rows", [-1, self._config.n_embd], np.int64)
        return build.node("Reshape", [self._blocks(build), rows], "final")

    def _choice(self, build: GraphBuilder, final: str, rows: str) -> None:
        """The second head's score of each row of `final` (rows, n_embd), where there is a head."""
        if CHOICE_WEIGHT in self._checkpoint.weights:
            head = build.weight(CHOICE_WEIGHT, self._checkpoint.weights[CHOICE_WEIGHT][:, 0])
            build.node("MatMul", [self._float32(build, final), head], "choice_score")
            build.output("choice_score", np.float32, [rows])

    def _weight(self, build: GraphBuilder, name: str) -> str:
        stored = build.weight(name, self._checkpoint.weights[name])
        if self._number is np.float32:
            return stored
        return build.cast(stored, f"{name}.half", self._number)

    def _float32(self, build: GraphBuilder, given: str) -> str:
        if self._number is np.float32:
            return given
        return build.cast(given, f"{given}.float32", np.float32)

    def _blocks(self, build: GraphBuilder, *, last_only: bool = False) -> str:
        """The transformer up to its final norm.

        With `last_only` the result holds each sequence's last position only: after the last
        attention no other is needed.
        """
        build.input("input_ids", np.int64, ["batch", "sequence"])
        build.input("position_ids", np.int64, ["batch", "sequence"])
        build.input("seqlens_k", np.int32, ["batch"])
        build.input("total_sequence_length", np.int32, [1])
        table = self._weight(build, "wpe.weight")
        places = build.node("Gather", [table, "position_ids"], "places")
        embedded = self._matrices.embed(build, "input_ids")
        stream = build.node("Add", [embedded, places], "stream")
        for layer in range(self._config.n_layer):
            name = f"h.{layer}"
            attended = self._attention(build, layer, self._norm(build, f"{name}.ln_1", stream))
            if last_only and layer == self._config.n_layer - 1:
                last = build.constant("last_position", [-1], np.int64)
                attended = build.node("Gather", [attended, last], "attended.last", axis=1)
                stream = build.node("Gather", [stream, last], "stream.last", axis=1)
            change = self._matrices.linear(build, f"{name}.attn.c_proj", attended)
            stream = build.node("Add", [stream, change], f"{name}.middle")
            middle = self._norm(build, f"{name}.ln_2", stream)
            change = self._feed_forward(build, f"{name}.mlp", middle)
            stream = build.node("Add", [stream, change], f"{name}.stream")
        return self._norm(build, "ln_f", stream)

    def _norm(self, build: GraphBuilder, name: str, given: str) -> str:
        scale, shift = self._weight(build, f"{name}.weight"), self._weight(build, f"{name}.bias")
        return build.node(
            "LayerNormalization",
            [given, scale, shift],
            f"{name}.out",
            epsilon=self._config.epsilon,
        )

    def _attention(self, build: GraphBuilder, layer: int, given: str) -> str:
        """Causal attention over the cache; queries, keys and values come packed in one tensor."""
        config = self._config
        packed = self._matrices.linear(build, f"h.{layer}.attn.c_attn", given)
        dtype = self._number if self._cache_scale is None else np.int8

        def ends(when: str) -> list[tuple[str, type, list[str | int]]]:
            shape: list[str | int] = ["batch", config.n_head, when, config.head_size]
            return [(f"{when}_{kind}_{layer}", dtype, shape) for kind in ("key", "value")]

        past = [build.input(*end) for end in ends("past")]
        present = [build.output(*end) for end in ends("present")]
        inputs = [packed, "", "", *past, "seqlens_k", "total_sequence_length"]
        attributes: dict[str, object] = {}
        if self._cache_scale is not None:
            step = build.constant("cache_scale", [self._cache_scale], np.float32)
            inputs += ["", "", "", "", "", step, step]
            attributes = {
                "k_quant_type": "PER_TENSOR",
                "v_quant_type": "PER_TENSOR",
                "kv_cache_bit_width": 8,
            }
        return build.node(
            "GroupQueryAttention",
            inputs,
            f"h.{layer}.attended",
            *present,
            num_heads=config.n_head,
            kv_num_heads=config.n_head,
            scale=config.attention_scale(layer),
            **attributes,
        )

    def _feed_forward(self, build: GraphBuilder, name: str, given: str) -> str:
        hidden = self._matrices.linear(build, f"{name}.c_fc", given, bias=False)
        bias = self._weight(build, f"{name}.c_fc.bias")
        operator = ACTIVATIONS[self._config.activation]
        active = build.node(operator, [hidden, bias], f"{name}.active")
        return self._matrices.linear(build, f"{name}.c_proj", active)


def copier() -> onnx.ModelProto:
    """The graph that copies float16 (N) from `source` to `target`, wherever the two are bound."""
    build = GraphBuilder(WeightFile())
    build.input("source", np.float16, ["numbers"])
    build.node("Identity", ["source"], "target")
    build.output("target", np.float16, ["numbers"])
    return build.model()
