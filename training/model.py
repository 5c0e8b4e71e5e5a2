"""GPT-2 in Keras 3 with two heads: the next token, and which of several replies is the true one.

The layers are the checkpoint's own (Radford et al. 2019), under Hugging Face's names, so that
weights move in and out without reshaping. What KerasHub's GPT2Backbone does not offer and packed
training needs is a mask and positions of its own for every row: see `training.data.packing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from training.checkpoints.directory import (
    CHOICE_WEIGHT,
    HEAD_WEIGHT,
    Checkpoint,
    Config,
    FloatArray,
    read_checkpoint,
)
from training.checkpoints.vocabulary import Vocabulary, fit_embeddings
from training.errors import CheckpointError

MASKED = -1e9


class Block(keras.layers.Layer):
    """One pre-norm transformer block: (batch, row, width) to the same shape.

    `mask` is (batch, 1, row, row), true where a token may look.
    """

    def __init__(self, config: Config, layer: int, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width, dense = config.n_embd, keras.layers.Dense
        self.heads, self.head_width = config.n_head, config.head_size
        self.scale = config.attention_scale(layer)
        # GPT-2 scales its residual projections by depth when it starts from nothing.
        start = keras.initializers.RandomNormal(0.02)
        deep = keras.initializers.RandomNormal(0.02 / np.sqrt(2 * config.n_layer))
        self.ln_1 = keras.layers.LayerNormalization(epsilon=config.epsilon, name="ln_1")
        self.c_attn = dense(3 * width, kernel_initializer=start, name="c_attn")
        self.attn_proj = dense(width, kernel_initializer=deep, name="attn_proj")
        self.ln_2 = keras.layers.LayerNormalization(epsilon=config.epsilon, name="ln_2")
        self.c_fc = dense(config.n_inner, kernel_initializer=start, name="c_fc")
        self.mlp_proj = dense(width, kernel_initializer=deep, name="mlp_proj")
        self.dropout = keras.layers.Dropout(dropout, name="dropout")
        self.tanh_gelu = config.activation != "gelu"

    def build(self, shape: tuple[int | None, ...]) -> None:
        for layer in (self.ln_1, self.c_attn, self.attn_proj, self.ln_2, self.c_fc):
            layer.build(shape)
        self.mlp_proj.build((*shape[:-1], self.c_fc.units))
        self.built = True

    def call(self, hidden: Any, mask: Any, training: bool | None = None) -> Any:
        attended = self.attn_proj(self._attend(self.c_attn(self.ln_1(hidden)), mask))
        hidden = hidden + self.dropout(attended, training=training)
        inner = ops.gelu(self.c_fc(self.ln_2(hidden)), approximate=self.tanh_gelu)
        return hidden + self.dropout(self.mlp_proj(inner), training=training)

    def _attend(self, projected: Any, mask: Any) -> Any:
        batch, row, _ = ops.shape(projected)
        split = ops.reshape(projected, (batch, row, 3, self.heads, self.head_width))
        query, key, value = ops.unstack(ops.transpose(split, (2, 0, 3, 1, 4)), 3)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        scores = ops.where(mask, ops.cast(scores, "float32") * self.scale, MASKED)
        weights = ops.cast(ops.softmax(scores), value.dtype)
        joined = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return ops.reshape(joined, (batch, row, self.heads * self.head_width))


class DialogueModel(keras.Model):
    """GPT-2 whose `call` answers the two tasks of a packed batch (`training.data.packing.Batch`).

    Returns token logits (targets, vocabulary) of the positions in `target_index`, and scores
    (choices, candidates) of the positions in `choice_index`, both float32.
    """

    def __init__(self, config: Config, *, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        start = keras.initializers.RandomNormal(0.02)
        self.config = config
        self.wte = keras.layers.Embedding(config.vocab_size, config.n_embd, start, name="wte")
        self.wpe = keras.layers.Embedding(config.n_ctx, config.n_embd, start, name="wpe")
        self.blocks = [Block(config, i, dropout, name=f"h_{i}") for i in range(config.n_layer)]
        self.ln_f = keras.layers.LayerNormalization(epsilon=config.epsilon, name="ln_f")
        # No bias: it would add the same to every candidate's score.
        self.choice_head = keras.layers.Dense(
            1, use_bias=False, kernel_initializer=start, name="choice_head"
        )
        self.dropout = keras.layers.Dropout(dropout, name="dropout")
        shape = (None, None, config.n_embd)
        for layer in (self.wte, self.wpe):
            layer.build((None, None))
        for layer in (*self.blocks, self.ln_f, self.choice_head):
            layer.build(shape)
        self.built = True

    def hidden(self, batch: Mapping[str, Any], training: bool | None = None) -> Any:
        """Final hidden states, (batch * row, width)."""
        hidden = self.wte(batch["ids"]) + self.wpe(batch["positions"])
        hidden = self.dropout(hidden, training=training)
        mask = attention_mask(batch)
        for block in self.blocks:
            hidden = block(hidden, mask, training=training)
        return ops.reshape(self.ln_f(hidden), (-1, self.config.n_embd))

    def call(self, batch: Mapping[str, Any], training: bool | None = None) -> tuple[Any, Any]:
        hidden = self.hidden(batch, training=training)
        targets = ops.take(hidden, batch["target_index"], axis=0)
        table = ops.cast(self.wte.embeddings, targets.dtype)
        logits = ops.cast(ops.matmul(targets, ops.transpose(table)), "float32")
        choices = ops.take(hidden, batch["choice_index"], axis=0)
        return logits, ops.cast(self.choice_head(choices)[..., 0], "float32")


def attention_mask(batch: Mapping[str, Any]) -> Any:
    """(batch, 1, row, row), true where a token may look.

    A token sees what came before it in its own dialogue; a token of a candidate reply sees that
    candidate, and of the dialogue only what came before the reply.
    """
    segments, branches = batch["segments"], batch["branches"]
    row = ops.shape(segments)[1]
    index = ops.arange(row)
    before = index[:, None] >= index[None, :]
    same = segments[:, :, None] == segments[:, None, :]
    own = branches[:, :, None] == branches[:, None, :]
    shared = ops.logical_and(
        branches[:, None, :] == 0, batch["positions"][:, None, :] < batch["starts"][:, :, None]
    )
    seen = ops.logical_and(ops.logical_and(before[None], same), ops.logical_or(own, shared))
    return seen[:, None]


def read_for_keras(directory: Path, vocabulary: Vocabulary) -> Checkpoint:
    """A checkpoint that a DialogueModel can be, with a row for every token of the vocabulary.

    Raises CheckpointError, also for one whose logits come from another table than its tokens do.
    """
    checkpoint = fit_embeddings(read_checkpoint(directory), vocabulary)
    table = checkpoint.weights["wte.weight"]
    if not np.array_equal(checkpoint.weights.get(HEAD_WEIGHT, table), table):
        raise CheckpointError(
            f"{directory}: {HEAD_WEIGHT} is not wte.weight; only a model that has one table for "
            "both can be trained here, or measured before it is a bundle."
        )
    return checkpoint


def weight_variables(model: DialogueModel) -> dict[str, Any]:
    """Every variable under the name it has in a checkpoint."""
    named = {"wte.weight": model.wte.embeddings, "wpe.weight": model.wpe.embeddings}
    for i, block in enumerate(model.blocks):
        layers = {
            "attn.c_attn": block.c_attn,
            "attn.c_proj": block.attn_proj,
            "mlp.c_fc": block.c_fc,
            "mlp.c_proj": block.mlp_proj,
        }
        for name, layer in layers.items():
            named |= {f"h.{i}.{name}.weight": layer.kernel, f"h.{i}.{name}.bias": layer.bias}
        for name, norm in {"ln_1": block.ln_1, "ln_2": block.ln_2}.items():
            named |= {f"h.{i}.{name}.weight": norm.gamma, f"h.{i}.{name}.bias": norm.beta}
    named |= {"ln_f.weight": model.ln_f.gamma, "ln_f.bias": model.ln_f.beta}
    return named | {CHOICE_WEIGHT: model.choice_head.kernel}


def load_weights(model: DialogueModel, weights: Mapping[str, FloatArray]) -> None:
    """Put a checkpoint's weights into the model; a checkpoint may lack the second head."""
    for name, variable in weight_variables(model).items():
        if name in weights:
            variable.assign(weights[name])
        elif name != CHOICE_WEIGHT:
            raise KeyError(name)


def read_weights(model: DialogueModel) -> dict[str, FloatArray]:
    """The model's weights as float32 arrays under their names in a checkpoint."""
    return {
        name: np.asarray(ops.convert_to_numpy(variable), np.float32)
        for name, variable in weight_variables(model).items()
    }
