"""The two tasks as one loss: Keras calls `compute_loss` on whichever backend it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from training.checkpoints.directory import Config
from training.config import TrainConfig
from training.model import DialogueModel


class Trainee(DialogueModel):
    """A DialogueModel that learns: next token of the replies, and the true reply among others.

    Keeps running means `lm` (nats per token of what was said), `choice` (nats) and `chosen` (share
    right) since the last reset.
    """

    def __init__(self, config: Config, run: TrainConfig) -> None:
        super().__init__(config, dropout=run.dropout)
        self.lm_coef, self.choice_coef = run.lm_coef, run.choice_coef
        self.soft_share = run.soft_share
        self.has_choices = run.shape.candidates > 1
        self.choice_head.trainable = self.has_choices
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("lm", "choice", "chosen")}

    @property
    def metrics(self) -> list[Any]:
        return [*super().metrics, *self.trackers.values()]

    def compute_loss(
        self,
        x: Mapping[str, Any] | None = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """lm_coef * mean token loss + choice_coef * mean choice loss, each mean times the part that
        `training.data.packing.weighed` gives it."""
        assert x is not None  # noqa: S101 - Keras always passes it
        logits, scores = y_pred
        weight = x["target_weight"]
        token_loss = keras.losses.sparse_categorical_crossentropy(
            x["target_ids"], logits, from_logits=True
        )
        lm = _mean(token_loss, weight)
        self.trackers["lm"].update_state(lm, ops.sum(weight))
        if "drawn_ids" in x:
            share = self.soft_share * x["asked"]
            drawn_loss = _mean_loss_of_draws(logits, x["drawn_ids"])
            lm = _mean((1 - share) * token_loss + share * drawn_loss, weight)
        loss = self.lm_coef * _part_of(lm, x, "lm_part")
        if not self.has_choices:
            return loss
        weight = x["choice_weight"]
        choice = _mean(-ops.log_softmax(scores)[:, 0], weight)
        right = _mean(ops.cast(ops.argmax(scores, axis=-1) == 0, "float32"), weight)
        self.trackers["choice"].update_state(choice, ops.sum(weight))
        self.trackers["chosen"].update_state(right, ops.sum(weight))
        return loss + self.choice_coef * _part_of(choice, x, "choice_part")


def build_optimizer(run: TrainConfig) -> Any:
    """AdamW, or Muon for the matrices of the blocks (Jordan et al. 2024) and AdamW for the rest.

    Muon's updates are scaled to the size of AdamW's, so that one learning rate suits both (Liu et
    al. 2025, "Muon is Scalable for LLM Training"). No decay on biases and norms; gradients are
    clipped by the norm of all of them.
    """
    options: dict[str, Any] = {
        "learning_rate": run.learning_rate,
        "weight_decay": run.weight_decay,
        "global_clipnorm": run.clip_norm,
        "gradient_accumulation_steps": run.accumulation if run.accumulation > 1 else None,
    }
    if run.optimizer == "muon":
        optimizer = keras.optimizers.Muon(
            adam_weight_decay=run.weight_decay,
            adam_beta_2=0.98,
            exclude_layers=["wte", "wpe", "choice_head"],
            **options,
        )
    else:
        optimizer = keras.optimizers.AdamW(beta_2=0.98, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def learning_rate(run: TrainConfig, progress: float) -> float:
    """Linear warm-up over the first `warmup` of the run, then a cosine down to nothing."""
    if progress < run.warmup:
        return run.learning_rate * max(progress / run.warmup, 0.01)
    rest = (progress - run.warmup) / max(1e-9, 1 - run.warmup)
    return run.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))


def _mean_loss_of_draws(logits: Any, drawn: Any) -> Any:
    """Nats (targets,) of the tokens drawn for each target, (targets, draws), on average: but for a
    constant, how far the model is from whoever drew them."""
    said = ops.mean(ops.take_along_axis(logits, drawn, axis=1), axis=1)
    return ops.logsumexp(logits, axis=1) - said


def _mean(values: Any, weight: Any) -> Any:
    return ops.sum(values * weight) / ops.maximum(ops.sum(weight), 1.0)


def _part_of(loss: Any, batch: Mapping[str, Any], name: str) -> Any:
    return loss * batch[name][0] if name in batch else loss
