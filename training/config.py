"""Everything that decides a training run; `meta.json` keeps it beside the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from inference.prompt import MIN_ROOM
from training.data.examples import BatchShape
from training.data.soft_targets import DRAWS
from training.errors import RunError

# Options that take one of a few words.
CHOICES = {
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "optimizer": ("adamw", "muon"),
}
# Options that do nothing without another.
NEEDS = {
    "natural_case": "size",
    "positions": "size",
    "vocabulary": "size",
    "characters": "grammar",
    "soft_share": "soft_targets",
    "patience": "validation",
}
SEEDS = 2**32
ALLOWED: dict[str, Callable[[float], bool]] = {
    "above 0": lambda value: value > 0,
    "0 or more": lambda value: value >= 0,
    "from 0 to 1": lambda value: 0 <= value <= 1,
    # As `window` it goes into the bundle, which must leave room for a conversation.
    f"{MIN_ROOM} or more": lambda value: value >= MIN_ROOM,
    f"from 0 to {SEEDS - 1}": lambda value: 0 <= value < SEEDS,
}


def number(default: float, allowed: str, text: str) -> Any:
    """A field that is a number and an option of `manage.py train`, which says `text` of it;
    `allowed` is a key of ALLOWED, or nothing where others check it."""
    return field(default=default, metadata={"allowed": allowed, "help": text})


def cannot_write(path: str | Path, error: OSError) -> RunError:
    """What to raise where the disk does not take something of a run."""
    reason = error.strerror or str(error)
    return RunError(f"{path}: cannot be written ({reason}); free space or choose another --out.")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A run starts from `checkpoint`, a directory or `hf://owner/name`, or from nothing: with a
    `size` of LAYERSxWIDTHxHEADS, so many `positions` and a `vocabulary` learnt from the data.

    `data` are files, `written` or `chitchat`, each with how often an epoch shows it (0.5: every
    other).

    A run ends after `steps` updates, or when `minutes` of training are used up, whichever is
    first; the learning rate falls to nothing by then. `grammar` dialogues are made on top, whose
    personas are partly those of the data and of so many `characters`, given by the caller.
    `lm_coef` and `choice_coef` weigh the two tasks (Wolf et al. 2019, "TransferTransfo": 2 and 1);
    `choice_share` of the dialogues take part in the second. What the person says is learnt too
    where `person_coef` is above 0, and counts so much beside the replies.

    `soft_targets` is a directory of what a teacher drew (`training.teacher`). Of a file that it has
    read in part, an epoch shows only what it has read; where it was asked, `soft_share` of a
    token's loss is that of its draws.
    """

    out: Path
    checkpoint: str = ""
    size: str = ""
    natural_case: bool = False
    data: tuple[tuple[str, float], ...] = ()
    validation: Path | None = None
    soft_targets: Path | None = None
    optimizer: str = "adamw"
    precision: str = "float32"
    steps: int = number(0, "0 or more", "stop after N updates; 0: by --minutes")
    minutes: float = number(
        0.0,
        "0 or more",
        "stop after N minutes; the learning rate falls to nothing by then; 0: by --steps",
    )
    positions: int = number(512, "", "with --size: the longest text in tokens")
    vocabulary: int = number(12_000, "", "with --size: tokens, learnt from the data")
    grammar: int = number(
        0, "0 or more", "make N dialogues of questions about personas and their answers"
    )
    characters: int = number(
        0, "0 or more", "characters of the built-in catalogue that grammar dialogues draw on"
    )
    rows: int = number(8, "above 0", "rows of a batch")
    row_length: int = number(
        256, f"{MIN_ROOM} or more", "tokens of a row; several dialogues share one"
    )
    max_dialogue: int = number(256, f"{MIN_ROOM} or more", "longer dialogues are cut in halves")
    target_share: float = number(0.6, "above 0", "of a row's tokens, at most so many are learnt")
    accumulation: int = number(1, "above 0", "batches per update")
    learning_rate: float = number(5e-4, "above 0", "at its highest")
    warmup: float = number(0.05, "from 0 to 1", "share of the run over which the rate rises")
    weight_decay: float = number(0.01, "0 or more", "of AdamW and Muon")
    clip_norm: float = number(1.0, "above 0", "largest norm of an update's gradients")
    dropout: float = number(0.1, "from 0 to 1", "share of the hidden numbers left out at random")
    lm_coef: float = number(2.0, "0 or more", "weight of the next-token loss")
    choice_coef: float = number(1.0, "0 or more", "weight of the choice among candidate replies")
    person_coef: float = number(
        0.0, "from 0 to 1", "weight of the loss on what the person says beside the replies"
    )
    soft_share: float = number(
        0.8, "from 0 to 1", "with --soft-targets: how much the teacher counts beside what was said"
    )
    candidates: int = number(4, "above 0", "replies to choose among; 1 leaves the second task out")
    choice_share: float = number(
        1.0, "from 0 to 1", "share of the dialogues that take part in the second task"
    )
    seed: int = number(0, f"from 0 to {SEEDS - 1}", "decides data order, dropout and distractors")
    save_minutes: float = number(10.0, "0 or more", "between checkpoints")
    keep_steps: int = number(
        0, "0 or more", "between copies that stay in OUT/steps, for a mean of them; 0: none"
    )
    evaluate_steps: int = number(200, "above 0", "between evaluations")
    evaluate_dialogues: int = number(40, "above 0", "validation dialogues")
    patience: int = number(
        0, "0 or more", "stop after N evaluations without a better one; 0: never"
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            if allowed := item.metadata.get("allowed"):
                self._check(item.name, getattr(self, item.name), allowed)
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise RunError(f"{name} must be one of {', '.join(known)}.")
        for path, times in self.data:
            if not 0 < times < math.inf:
                raise RunError(f"{path}={times}: after = comes a number above 0, as in 0.5.")
        self._check_what_is_missing()

    def _check(self, name: str, value: float, allowed: str) -> None:
        if not math.isfinite(value) or not ALLOWED[allowed](value):
            raise RunError(f"{name} must be {allowed}, not {value}.")

    def _check_what_is_missing(self) -> None:
        if self.steps <= 0 and self.minutes <= 0:
            raise RunError("steps or minutes must be above 0: without either, when to stop?")
        if bool(self.checkpoint) == bool(self.size):
            raise RunError("Give either checkpoint, to start from one, or size, to start anew.")
        if not self.data and not self.grammar:
            raise RunError("No data: give files of dialogues, or a number of grammar dialogues.")
        for item in fields(self):
            other = NEEDS.get(item.name)
            if other and getattr(self, item.name) != item.default and not getattr(self, other):
                raise RunError(f"{item.name} does nothing without {other}.")

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
            draws=DRAWS if self.soft_targets else 0,
        )

    @property
    def command(self) -> str:
        """What starts such a run, for people: options that are not as they come, and of absolute
        paths the last part."""
        words = ["manage.py train"]
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "data":
                words += [f"--data {_shown(path)}={times:g}" for path, times in value]
            elif item.name != "out" and value != item.default:
                words.append(_option(item.name, value))
        return " ".join(words)

    def progress(self, step: int, seconds: float) -> float:
        """How much of the run is done, from 0 to 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))


def _option(name: str, value: object) -> str:
    option = f"--{name.replace('_', '-')}"
    return option if value is True else f"{option} {_shown(value)}"


def _shown(value: object) -> str:
    path = Path(str(value))
    return path.name if path.is_absolute() else str(value)
