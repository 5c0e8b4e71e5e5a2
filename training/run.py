"""A training run from options to a finished directory: `manage.py train`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from training.config import TrainConfig, TrainError
from training.report import RunReport
from training.state import read_meta, undo_half_save
from training.train import LAST, Trainer, prepare

PATHS = ("out", "validation")


def run_training(
    out: Path,
    given: Mapping[str, Any],
    *,
    resume: bool,
    quiet: bool = False,
    make_characters: Callable[[int], Sequence[Sequence[str]]] = lambda count: (),
) -> dict[str, Any]:
    """Train until the run ends. With `resume` what is not given stays as the run had it.

    Returns steps, tokens, seconds, the best validation figures, and whether the run was `stopped`
    by SIGINT (Ctrl-C) or SIGTERM, which end it after the update in hand, with the evaluation and
    the copy that are due then, and save it. Raises TrainError, DataError or ExportError.
    """
    undo_half_save(out / LAST)
    if resume and not (out / LAST).exists():
        raise TrainError(f"{out}: holds no run to go on with; without --resume one is started.")
    before = read_meta(out / LAST).get("run", {}) if resume else {}
    run = config_from({**before, **given, "out": out})
    report = RunReport(out, quiet=quiet)
    characters = make_characters(run.characters) if run.grammar and run.characters else ()
    trainer = prepare(run, resume=resume, report=report, characters=characters)
    try:
        with _stopped_by_signals(trainer):
            state = trainer.train()
    except MemoryError as error:
        raise _out_of_memory(run) from error
    except Exception as error:
        if type(error).__name__ == "ResourceExhaustedError":
            raise _out_of_memory(run) from error
        raise
    finally:
        report.close()
    best = min(state.history, key=lambda item: item["ppl_token"], default={})
    return {
        "out": str(out),
        "steps": state.step,
        "tokens": state.tokens,
        "seconds": round(state.seconds),
        "best": best,
        "stopped": trainer.stopping and not trainer.is_finished(),
    }


@contextmanager
def _stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """The first SIGINT or SIGTERM lets the update in hand end; the next one does not wait."""

    def stop(number: int, frame: object) -> None:
        trainer.stopping = True
        trainer.report.line("stopping after this step; once more to stop at once")
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def config_from(values: Mapping[str, Any]) -> TrainConfig:
    """A TrainConfig from options or from `meta.json`. Raises TrainError for what is wrong."""
    known = {field.name for field in fields(TrainConfig)}
    chosen = {name: value for name, value in values.items() if name in known}
    chosen["checkpoint"] = str(chosen.get("checkpoint") or "")
    for name in PATHS:
        if chosen.get(name) is not None:
            chosen[name] = Path(chosen[name])
    chosen["data"] = tuple((str(path), float(times)) for path, times in chosen.get("data", ()))
    return TrainConfig(**chosen)


def _out_of_memory(run: TrainConfig) -> TrainError:
    half = max(1, run.rows // 2)
    return TrainError(
        f"Out of memory with {run.rows} rows of {run.row_length} tokens: try --rows {half} "
        f"--accumulation {2 * run.accumulation}, which updates nearly the same way."
    )
