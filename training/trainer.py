"""Fine-tunes a GPT-2 checkpoint on dialogues: one run, step by step (`training.run` starts it)."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np

from inference.prompt import PromptRenderer
from training.checkpoints.directory import BEST, KEPT, LAST, Checkpoint
from training.checkpoints.hub import checkpoint_name
from training.checkpoints.starting_point import starting_point
from training.checkpoints.vocabulary import Vocabulary, read_vocabulary
from training.config import TrainConfig
from training.data.packing import Batch, weighed
from training.data.prefetch import prefetched
from training.data.soft_targets import SoftTargets
from training.data.sources import load_sources
from training.data.stream import Stream
from training.errors import RunError
from training.model import load_weights, read_for_keras
from training.objective import Trainee, build_optimizer, learning_rate
from training.report import RunReport, draw_losses
from training.samples import sample_replies
from training.state import RunState, load_state, measured_otherwise, save_model
from training.validate import Validation

# Mean losses are reported over this many updates.
REPORT_STEPS = 10


@dataclass(slots=True)
class Trainer:
    """One run: its model, its data and where it is."""

    run: TrainConfig
    model: Trainee
    optimizer: Any
    vocabulary: Vocabulary
    renderer: PromptRenderer
    stream: Stream
    validation: Validation | None
    report: RunReport
    state: RunState
    losses: list[dict[str, float]] = dataclasses.field(default_factory=list)
    stopping: bool = False

    def train(self) -> RunState:
        """Train to the end of the run, or until `stopping` is set; then only the state is saved.
        A run that is at its end already stays as it is.

        Raises RunError when it cannot go on.
        """
        if self.is_finished():
            return self.state
        self.report.begin(self.state.step)
        began, before = time.monotonic(), self.state.seconds
        saved = began
        for batches in self._batches():
            self._update(batches)
            self.state.seconds = before + time.monotonic() - began
            self._report_and_keep()
            if self.is_finished():
                break
            if self.stopping:
                self.save(LAST)
                return self.state
            if time.monotonic() - saved > 60 * self.run.save_minutes:
                self.save(LAST)
                saved = time.monotonic()
        if self.losses:
            self._report_losses()
        if self.state.step % self.run.evaluate_steps:
            self._evaluate()
        if self.validation is None:
            draw_losses(self.run.out)
            self.save(BEST)
        # Last, as it says that all is done.
        self.save(LAST)
        return self.state

    @property
    def progress(self) -> float:
        """How much of the run is done, from 0 to 1."""
        return self.run.progress(self.state.step, self.state.seconds)

    def is_finished(self) -> bool:
        """Whether the run is at its end, or nothing has improved for `patience` evaluations."""
        return self.progress >= 1 or 0 < self.run.patience <= self.state.stale

    def save(self, name: str) -> None:
        """Write the run as it is to `out`/name."""
        save_model(
            self.run.out / name,
            self.model,
            self.vocabulary,
            choice_head=self.model.has_choices,
            meta=self._meta(),
            facts=self._facts(),
            state=self.state if name == LAST else None,
            optimizer=self.optimizer,
        )

    def _batches(self) -> Iterator[list[Batch]]:
        """As many batches as one update accumulates."""
        items = prefetched(self.stream.batches(self.state.epoch, self.state.batch))
        while group := list(islice(items, self.run.accumulation)):
            epoch, number, _ = group[-1]
            self.state.epoch, self.state.batch = epoch, number + 1
            yield [batch for _, _, batch in group]

    def _update(self, batches: Sequence[Batch]) -> None:
        self.optimizer.learning_rate = learning_rate(self.run, self.progress)
        for batch in weighed(batches):
            logs = self.model.train_on_batch(batch, return_dict=True)
            self.losses.append({name: float(value) for name, value in logs.items()})
            if not math.isfinite(self.losses[-1]["loss"]):
                raise self._not_a_number()
            self.state.tokens += int(np.count_nonzero(batch["segments"]))
        self.state.step += 1

    def _not_a_number(self) -> RunError:
        last = self.run.out / LAST
        return RunError(
            f"The loss is not a number at step {self.state.step}: try a lower learning rate "
            f"than {self.run.learning_rate}, or precision float32"
            + (f"; {last} holds the state last saved." if last.exists() else ".")
        )

    def _report_and_keep(self) -> None:
        """What is due after this update: losses, an evaluation, a copy that stays."""
        step = self.state.step
        if step % REPORT_STEPS == 0:
            self._report_losses()
            self.losses.clear()
        if step % self.run.evaluate_steps == 0:
            self._evaluate()
        if self.run.keep_steps and step % self.run.keep_steps == 0:
            self.save(f"{KEPT}/{step}")

    def _report_losses(self) -> None:
        names = self.losses[0].keys()
        means = {name: float(np.mean([step[name] for step in self.losses])) for name in names}
        self.report.losses(self.state, means, self.progress)

    def _evaluate(self) -> None:
        """Validate and keep the best."""
        if self.validation is None:
            return
        figures = self.validation.figures(self.model)
        nats = math.log(figures["ppl_token"])
        if not math.isfinite(nats):
            raise self._not_a_number()
        improved = self.state.best is None or nats < self.state.best
        self.state.stale = 0 if improved else self.state.stale + 1
        self.state.history.append({"step": self.state.step, **figures})
        if improved:
            self.state.best = nats
            self.save(BEST)
        replies = sample_replies(self.model, self.renderer, self.vocabulary.special_tokens)
        self.report.validation(self.state, figures, replies)

    def _meta(self) -> dict[str, Any]:
        return {
            "run": dataclasses.asdict(self.run),
            "step": self.state.step,
            "tokens": self.state.tokens,
            "seconds": round(self.state.seconds),
            "epoch": self.state.epoch,
            "history": self.state.history,
            "dialogues": [len(source.dialogues) for source in self.stream.sources],
            "versions": {"keras": keras.__version__, "backend": keras.backend.backend()},
        }

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.run.out.name,
            "prompt": {"options": {"window": self.run.window}},
            "source": {
                "trained_from": (
                    checkpoint_name(self.run.checkpoint) if self.run.checkpoint else "nothing"
                ),
                "data": [Path(path).name for path, _ in self.run.data],
                "grammar_dialogues": self.run.grammar,
                "command": self.run.command,
                "steps": self.state.step,
                "tokens": self.state.tokens,
            },
        }


def prepare(
    run: TrainConfig,
    *,
    resume: bool,
    report: RunReport,
    characters: Sequence[Sequence[str]] = (),
) -> Trainer:
    """Read everything and build the model; `characters` are personas for grammar dialogues.

    Raises RunError, DataError or CheckpointError.
    """
    if not resume:
        _check_is_free(run.out)
    keras.utils.set_random_seed(run.seed)
    keras.mixed_precision.set_global_policy(run.precision)

    # The data last: a wrong checkpoint is told before two hundred megabytes are read.
    directory = run.out / LAST if resume else starting_point(run, characters=characters)
    vocabulary = read_vocabulary(directory)
    model = _trainee(run, read_for_keras(directory, vocabulary))
    renderer = vocabulary.renderer(model.config.n_ctx)
    stream = _stream(run, renderer, characters, report)
    validation = None
    if run.validation is not None:
        validation = Validation.from_file(run.validation, renderer, run, report.line)
    state = RunState()
    if resume:
        state = load_state(run.out / LAST, model, model.optimizer)
        if measured_otherwise(run.out / LAST, run):
            state.best, state.stale, state.history = None, 0, []
    return Trainer(
        run, model, model.optimizer, vocabulary, renderer, stream, validation, report, state
    )


def _check_is_free(out: Path) -> None:
    """Raises RunError where a run has left its checkpoints."""
    if (out / LAST).exists():
        raise RunError(f"{out}: holds a run already; add --resume, or choose another --out.")
    for name in (BEST, KEPT):
        if (out / name).exists():
            raise RunError(
                f"{out / name}: is left of a run that cannot go on; delete it, or choose another "
                "--out."
            )


def _trainee(run: TrainConfig, checkpoint: Checkpoint) -> Trainee:
    """The model with the checkpoint's weights, and its optimizer."""
    n_ctx = checkpoint.config.n_ctx
    if run.window > n_ctx:
        raise RunError(
            f"max_dialogue {run.max_dialogue} is more than the checkpoint's {n_ctx} positions."
        )
    model = Trainee(checkpoint.config, run)
    load_weights(model, checkpoint.weights)
    model.compile(optimizer=build_optimizer(run), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def _stream(
    run: TrainConfig,
    renderer: PromptRenderer,
    characters: Sequence[Sequence[str]],
    report: RunReport,
) -> Stream:
    soft_targets = SoftTargets.open(run.soft_targets) if run.soft_targets else None
    return Stream(
        sources=load_sources(run, renderer, characters, report.line, soft_targets),
        renderer=renderer,
        shape=run.shape,
        seed=run.seed,
        window=run.window,
        choice_share=run.choice_share,
        person_coef=run.person_coef,
        soft_targets=soft_targets,
    )
