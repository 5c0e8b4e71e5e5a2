"""A training run from options to a finished directory: `manage.py train`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from training.checkpoints.directory import LAST
from training.config import TrainConfig, cannot_write
from training.errors import RunError
from training.lock import alone_in
from training.report import RunReport
from training.state import read_options, undo_half_saves
from training.trainer import Trainer, prepare

PATHS = ("out", "validation", "soft_targets")
# What a run that goes on cannot change: what it is made of, and what its optimizer counts.
SETTLED = (
    *("checkpoint", "size", "positions", "vocabulary", "natural_case"),
    *("optimizer", "accumulation"),
)


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
    the copy that are due then, and save it. Raises RunError, DataError or CheckpointError.
    """
    if resume and not out.is_dir():
        raise _no_run(out)
    # What is wrong with the options is told before a directory is made.
    new = None if resume else config_from({**given, "out": out})
    with alone_in(out):
        undo_half_saves(out)
        run = new or _resumed(out, given)
        return _trained(run, resume=resume, quiet=quiet, make_characters=make_characters)


def _trained(
    run: TrainConfig,
    *,
    resume: bool,
    quiet: bool,
    make_characters: Callable[[int], Sequence[Sequence[str]]],
) -> dict[str, Any]:
    report = RunReport(run.out, quiet=quiet)
    characters = make_characters(run.characters) if run.grammar and run.characters else ()
    trainer = prepare(run, resume=resume, report=report, characters=characters)
    try:
        with _stopped_by_signals(trainer):
            state = trainer.train()
    except MemoryError as error:
        raise _out_of_memory(run, resume=resume) from error
    except OSError as error:
        raise cannot_write(error.filename or run.out, error) from error
    except Exception as error:
        if type(error).__name__ == "ResourceExhaustedError":
            raise _out_of_memory(run, resume=resume) from error
        raise
    finally:
        report.close()
    best = min(state.history, key=lambda item: item["ppl_token"], default={})
    return {
        "out": str(run.out),
        "steps": state.step,
        "tokens": state.tokens,
        "seconds": round(state.seconds),
        "best": best,
        "stopped": trainer.stopping and not trainer.is_finished(),
    }


def _resumed(out: Path, given: Mapping[str, Any]) -> TrainConfig:
    """The options of the run in `out`, with what is given in their place. Raises RunError."""
    if not (out / LAST).exists():
        raise _no_run(out)
    before = {**read_options(out / LAST), "out": out}
    run, earlier = config_from({**before, **given, "out": out}), config_from(before)
    for name in SETTLED:
        if getattr(run, name) != getattr(earlier, name):
            raise RunError(
                f"{out}: a run that goes on keeps its {name}, which is "
                f"{getattr(earlier, name) or 'not given'}; to change it, start another run: "
                f"--checkpoint {out / LAST} and another --out."
            )
    return run


def _no_run(out: Path) -> RunError:
    return RunError(f"{out}: holds no run to go on with; without --resume one is started.")


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
    """A TrainConfig from options or from `meta.json`. Raises RunError for what is wrong."""
    known = {field.name for field in fields(TrainConfig)}
    chosen = {name: value for name, value in values.items() if name in known}
    chosen["checkpoint"] = str(chosen.get("checkpoint") or "")
    for name in PATHS:
        if chosen.get(name) is not None:
            chosen[name] = Path(chosen[name])
    chosen["data"] = tuple((str(path), float(times)) for path, times in chosen.get("data", ()))
    return TrainConfig(**chosen)


def _out_of_memory(run: TrainConfig, *, resume: bool) -> RunError:
    less = (
        f"--rows {run.rows // 2} --accumulation {2 * run.accumulation}, which updates nearly the "
        "same way"
        if run.rows > 1
        else "a shorter --row-length"
    )
    # A run that goes on keeps its accumulation.
    anew = f" (in another run: --checkpoint {run.out / LAST} and another --out)" if resume else ""
    return RunError(
        f"Out of memory with {run.rows} rows of {run.row_length} tokens: try {less}{anew}."
    )
