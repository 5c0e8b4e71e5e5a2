"""Everything that decides a training run; `meta.json` keeps it beside the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from inference.prompt import MIN_ROOM
from training.data.examples import BatchShape

# Options that take one of a few words.
CHOICES = {
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "optimizer": ("adamw", "muon"),
}
# Numbers of which there may be none.
COUNTS = (
    *("steps", "minutes", "grammar", "characters", "weight_decay", "lm_coef", "choice_coef"),
    *("save_minutes", "keep_steps", "patience"),
)


class TrainError(Exception):
    """Why training cannot start or go on, in one line that says what to change."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A run starts from `checkpoint`, a directory or `hf://owner/name`, or from nothing: with a
    `size` of LAYERSxWIDTHxHEADS, so many `positions` and a `vocabulary` learnt from the data.

    `data` are files, or `chitchat`, each with how often an epoch shows it (0.5: every other).

    A run ends after `steps` updates, or when `minutes` of training are used up, whichever is
    first; the learning rate falls to nothing by then. `grammar` dialogues are made on top, whose
    personas are partly those of the data and of so many `characters`, given by the caller.
    `lm_coef` and `choice_coef` weigh the two tasks (Wolf et al. 2019, "TransferTransfo": 2 and 1);
    `choice_share` of the dialogues take part in the second. What the person says is learnt too
    where `person_coef` is above 0, and counts so much beside the replies.
    """

    out: Path
    checkpoint: str = ""
    size: str = ""
    positions: int = 512
    vocabulary: int = 12_000
    natural_case: bool = False
    data: tuple[tuple[str, float], ...] = ()
    grammar: int = 0
    characters: int = 0
    validation: Path | None = None
    steps: int = 0
    minutes: float = 0.0
    rows: int = 8
    row_length: int = 256
    max_dialogue: int = 256
    target_share: float = 0.6
    accumulation: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 5e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    dropout: float = 0.1
    lm_coef: float = 2.0
    choice_coef: float = 1.0
    person_coef: float = 0.0
    candidates: int = 4
    choice_share: float = 1.0
    precision: str = "float32"
    seed: int = 0
    save_minutes: float = 10.0
    keep_steps: int = 0
    evaluate_steps: int = 200
    evaluate_dialogues: int = 40
    patience: int = 0

    def __post_init__(self) -> None:
        numbers = (
            *("rows", "row_length", "max_dialogue", "target_share", "accumulation"),
            *("learning_rate", "clip_norm", "candidates", "evaluate_steps", "evaluate_dialogues"),
        )
        for name in numbers:
            self._check(name, getattr(self, name) > 0, "above 0")
        for name in ("dropout", "warmup", "choice_share", "person_coef"):
            self._check(name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        for name in COUNTS:
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise TrainError(f"{name} must be one of {', '.join(known)}.")
        self._check("seed", 0 <= self.seed < 2**32, "from 0 to 4294967295")
        for name in ("max_dialogue", "row_length"):
            # As `window` it goes into the bundle, which must leave room for a conversation.
            self._check(name, getattr(self, name) >= MIN_ROOM, f"{MIN_ROOM} or more")
        for path, times in self.data:
            if not 0 < times < math.inf:
                raise TrainError(f"{path}={times}: after = comes a number above 0, as in 0.5.")
        self._check_what_is_missing()

    def _check(self, name: str, fits: bool, allowed: str) -> None:
        value = getattr(self, name)
        if not fits or (isinstance(value, float) and not math.isfinite(value)):
            raise TrainError(f"{name} must be {allowed}, not {value}.")

    def _check_what_is_missing(self) -> None:
        if self.steps <= 0 and self.minutes <= 0:
            raise TrainError("steps or minutes must be above 0: without either, when to stop?")
        if bool(self.checkpoint) == bool(self.size):
            raise TrainError("Give either checkpoint, to start from one, or size, to start anew.")
        if not self.data and not self.grammar:
            raise TrainError("No data: give files of dialogues, or a number of grammar dialogues.")

    @property
    def window(self) -> int:
        """Tokens of the longest dialogue that is trained on whole."""
        return min(self.max_dialogue, self.row_length)

    @property
    def shape(self) -> BatchShape:
        second_task = self.candidates > 1 and self.choice_share > 0 and self.choice_coef > 0
        return BatchShape(
            rows=self.rows,
            row_length=self.row_length,
            targets_per_row=int(self.row_length * self.target_share),
            choices_per_row=max(1, self.row_length // 64) if second_task else 1,
            candidates=self.candidates if second_task else 1,
        )

    def progress(self, step: int, seconds: float) -> float:
        """How much of the run is done, from 0 to 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))
