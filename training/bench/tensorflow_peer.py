"""TensorFlow with a key-value cache: KerasHub's GPT-2, its loop compiled into a graph."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np


class TensorFlowPeer:
    """KerasHub's `GPT2CausalLM.generate`, in float32: it has no 8-bit decoding on a CPU."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def generate(self, chats: int, prompt_tokens: int, tokens: int) -> None:
        length = prompt_tokens + tokens
        ids = np.zeros((chats, length), np.int32)
        ids[:, :prompt_tokens] = np.arange(10, 10 + prompt_tokens)
        mask = np.zeros_like(ids)
        mask[:, :prompt_tokens] = 1
        self._model.generate({"token_ids": ids, "padding_mask": mask}, stop_token_ids=None)

    def close(self) -> None:
        """Nothing is held open."""


def load(checkpoint: Path, threads: int, chats: int) -> TensorFlowPeer:
    """The checkpoint's shape; what random weights say costs the same."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras_hub

    from training.checkpoint import read_checkpoint

    config = read_checkpoint(checkpoint).config
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=config.vocab_size,
        num_layers=config.n_layer,
        num_heads=config.n_head,
        hidden_dim=config.n_embd,
        intermediate_dim=config.n_inner,
        max_sequence_length=config.n_ctx,
    )
    model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    model.compile(sampler=keras_hub.samplers.TopKSampler(k=20))
    return TensorFlowPeer(model)
