"""The teacher: any causal language model that KerasHub reads from a Hugging Face directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from inference.bundle import TOKENIZER_FILE
from training.checkpoints.directory import CONFIG_FILE, read_json
from training.checkpoints.vocabulary import END_TOKEN
from training.config import cannot_write
from training.data.soft_targets import DRAWS
from training.errors import CheckpointError, RunError
from training.whole import whole_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Layers whose weights an adaptation adds to: those of attention and of the gated feed-forward part.
ADAPTED = ("query", "key", "value", "feedforward_gate_dense", "feedforward_intermediate_dense")
RANK = 16


class Teacher(keras.Model):
    """Draws what comes next.

    A batch holds `ids` (rows, length), the teacher's tokens, whose padding is at the end, and
    `places` (places,), indexes into them flattened. For each place `call` draws the token after it:
    (places, DRAWS), as indexes into `speakable`. A batch that holds what was said as well, `next`
    and `weight` (places,), is one to learn from: `call` gives logits (places, speakable), float32.
    """

    def __init__(self, backbone: Any, tokenizer: Tokenizer, start: int, seed: int = 0) -> None:
        super().__init__()
        self.backbone, self.tokenizer, self.start = backbone, tokenizer, start
        self.seeds = keras.random.SeedGenerator(seed)
        self.restrict(np.arange(backbone.vocabulary_size))
        self.built = True

    @classmethod
    def read(cls, directory: Path, seed: int = 0) -> Teacher:
        """`seed` decides what it draws. Raises CheckpointError when there is no such model, or
        KerasHub does not read its kind."""
        import keras_hub
        from safetensors import SafetensorError
        from tokenizers import Tokenizer

        config = read_json(directory / CONFIG_FILE)
        try:
            tokenizer = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
        except Exception as error:  # tokenizers raises plain Exception
            raise CheckpointError(
                f"{directory / TOKENIZER_FILE}: not a tokenizer ({error})."
            ) from error
        try:
            backbone = keras_hub.models.Backbone.from_preset(str(directory))
        except (ValueError, KeyError, OSError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(f"{directory}: KerasHub cannot read it ({reason}).") from error
        # A chat model's own first token opens a turn of a chat; documents begin behind this one.
        start = tokenizer.token_to_id(END_TOKEN)
        return cls(backbone, tokenizer, config.get("bos_token_id") or 0 if start is None else start)

    def restrict(self, speakable: npt.NDArray[np.int64]) -> None:
        """Draw from these tokens only; what the others had is shared out among them."""
        self.speakable = speakable

    def adapt(self) -> None:
        """From now on learn, by small additions to the weights of the attention and feed-forward
        layers (Hu et al. 2022, "LoRA"); everything else stays."""
        self.backbone.enable_lora(RANK, target_layer_names=list(ADAPTED))
        self.built = True

    def save_adapter(self, path: Path) -> None:
        """Write what was learnt, all of it or nothing. Raises RunError."""
        try:
            with whole_file(path) as fresh:
                self.backbone.save_lora_weights(str(fresh))
        except OSError as error:
            raise cannot_write(path, error) from error

    def load_adapter(self, path: Path) -> None:
        """Take up what was learnt. Raises RunError."""
        try:
            self.backbone.load_lora_weights(str(path))
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).partition("\n")[0]
            raise RunError(f"{path}: cannot be read ({reason}); choose another --out.") from error

    def call(self, batch: Mapping[str, Any], training: bool | None = None) -> Any:
        mask = ops.ones_like(batch["ids"])
        hidden = self.backbone({"token_ids": batch["ids"], "padding_mask": mask}, training=training)
        width = ops.shape(hidden)[-1]
        asked = ops.take(ops.reshape(hidden, (-1, width)), batch["places"], axis=0)
        table = ops.take(self._table(), self.speakable, axis=0)
        logits = ops.matmul(asked, ops.transpose(ops.cast(table, asked.dtype)))
        logits = ops.cast(logits, "float32")
        if "next" in batch:
            return logits
        return keras.random.categorical(logits, DRAWS, seed=self.seeds)

    def compute_loss(
        self,
        x: Mapping[str, Any] | None = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean nats of `next` (places,) where `weight` (places,) is not 0."""
        assert x is not None  # noqa: S101 - Keras always passes it
        nats = keras.losses.sparse_categorical_crossentropy(x["next"], y_pred, from_logits=True)
        return ops.sum(nats * x["weight"]) / ops.maximum(ops.sum(x["weight"]), 1.0)

    def _table(self) -> Any:
        embedding = self.backbone.token_embedding
        tied = getattr(embedding, "tie_weights", True)
        return embedding.embeddings if tied else ops.transpose(embedding.reverse_embeddings)
