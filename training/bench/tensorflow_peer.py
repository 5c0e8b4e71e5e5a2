"""TensorFlow with a key-value cache: KerasHub's GPT-2, its loop compiled into a graph."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from training.checkpoints.directory import CONFIG_FILE, read_config


class TensorFlowPeer:
    """KerasHub's `GPT2CausalLM.generate`, in float32: it has no 8-bit decoding on a CPU."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def generate(self, chats: int, prompt_tokens: int, tokens: int) -> int:
        ids = np.zeros((chats, prompt_tokens + tokens), np.int32)
        ids[:, :prompt_tokens] = np.arange(10, 10 + prompt_tokens)
        mask = np.zeros_like(ids)
        mask[:, :prompt_tokens] = 1
        given = {"token_ids": ids, "padding_mask": mask}
        written = self._model.generate(given, stop_token_ids=None)["padding_mask"]
        return int(np.sum(written)) - chats * prompt_tokens

    def close(self) -> None:
        """Nothing is held open."""


def convert(checkpoint: Path, directory: Path) -> None:
    """Its shape is all that is needed: other random weights cost the same."""
    shutil.copy(checkpoint / CONFIG_FILE, directory)


def load(directory: Path, threads: int, chats: int) -> TensorFlowPeer:
    """Make a model of that shape."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras_hub
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    config = read_config(directory / CONFIG_FILE)
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
