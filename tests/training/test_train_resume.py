"""A run survives a kill, ends when it is told to, and goes on exactly where it was."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
pytest.importorskip("keras")

from django.core.management import call_command

from tests.training.tiny import SMALL_RUN, saved_weights, tiny_checkpoint, tiny_dialogues
from training.errors import RunError
from training.run import run_training
from training.trainer import Trainer
from training.validate import Validation


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    data = str(tiny_dialogues(tmp_path / "data.jsonl", 40))
    checkpoint = tiny_checkpoint(tmp_path / "gpt2")
    return {**SMALL_RUN, "checkpoint": checkpoint, "data": ((data, 1.0),)}


@pytest.mark.parametrize(("optimizer", "accumulation"), [("adamw", 1), ("muon", 1), ("adamw", 3)])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
    accumulation: int,
) -> None:
    options = {**options, "optimizer": optimizer, "accumulation": accumulation}
    run_training(tmp_path / "whole", options, resume=False, quiet=True)

    update = Trainer._update

    def killed(self: Trainer, batches: Any) -> None:
        if self.state.step == 5:
            update(self, batches[:-1])
            raise KeyboardInterrupt
        update(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(tmp_path / "cut", options, resume=False, quiet=True)
    state = json.loads((tmp_path / "cut" / "last" / "state.json").read_text())
    assert state["step"] == 5
    run_training(tmp_path / "cut", {}, resume=True, quiet=True)

    whole, cut = (
        saved_weights(tmp_path / "whole" / "last"),
        saved_weights(tmp_path / "cut" / "last"),
    )
    assert whole.keys() == cut.keys()
    for name in whole:
        np.testing.assert_allclose(whole[name], cut[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_saved_where_it_was(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    update = Trainer._update

    def stopped(self: Trainer, batches: Any) -> None:
        if self.state.step == 2:
            os.kill(os.getpid(), number)
        update(self, batches)

    monkeypatch.setattr(Trainer, "_update", stopped)
    given = {**options, "save_minutes": 60}
    result = run_training(tmp_path / "run", given, resume=False, quiet=True)
    assert (result["stopped"], result["steps"]) == (True, 3)
    state = json.loads((tmp_path / "run" / "last" / "state.json").read_text())
    assert (state["step"], state["batch"]) == (3, 3)
    result = run_training(tmp_path / "run", {}, resume=True, quiet=True)
    assert (result["stopped"], result["steps"]) == (False, SMALL_RUN["steps"])


def test_a_stop_skips_neither_evaluation_nor_copy(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = tiny_dialogues(tmp_path / "held_out.jsonl", 12)
    given = {**options, "validation": validation, "keep_steps": 4, "save_minutes": 60}
    run_training(tmp_path / "whole", given, resume=False, quiet=True)
    update = Trainer._update

    def stopped(self: Trainer, batches: Any) -> None:
        if self.state.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        update(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", stopped)
        run_training(tmp_path / "cut", given, resume=False, quiet=True)
    run_training(tmp_path / "cut", {}, resume=True, quiet=True)
    whole, cut = (
        json.loads((tmp_path / name / "last" / "state.json").read_text())
        for name in ("whole", "cut")
    )
    assert [entry["step"] for entry in cut["history"]] == [4, 8]
    for ours, theirs in zip(cut["history"], whole["history"], strict=True):
        assert ours == pytest.approx(theirs)
    assert sorted(path.name for path in (tmp_path / "cut" / "steps").iterdir()) == ["4", "8"]


def test_a_finished_run_stays_as_it_is(options: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_training(out, {**options, "steps": 3}, resume=False, quiet=True)
    before = (out / "last" / "state.json").stat().st_mtime_ns
    result = run_training(out, {}, resume=True, quiet=True)
    assert (result["steps"], result["stopped"]) == (3, False)
    assert (out / "last" / "state.json").stat().st_mtime_ns == before


def test_a_run_whose_patience_is_at_its_end_is_finished(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"ppl_token": 9.0, "ppl_word": 9.0}
    monkeypatch.setattr(Validation, "figures", lambda self, model: figures)
    validation = tiny_dialogues(tmp_path / "held_out.jsonl", 12)
    given = {**options, "validation": validation, "evaluate_steps": 1, "patience": 2}
    for resume in (False, True):
        result = run_training(tmp_path / "run", given, resume=resume, quiet=True)
        assert (result["steps"], result["best"]["step"]) == (3, 1)
    result = run_training(tmp_path / "run", {"patience": 4}, resume=True, quiet=True)
    assert result["steps"] == 5


def test_there_is_no_run_to_go_on_with(options: dict[str, Any], tmp_path: Path) -> None:
    for given in ({}, options):
        with pytest.raises(RunError, match="run: holds no run to go on with"):
            run_training(tmp_path / "run", given, resume=True, quiet=True)


def test_a_save_killed_between_two_renames_is_found_again(
    options: dict[str, Any], tmp_path: Path
) -> None:
    run_training(tmp_path / "run", {**options, "steps": 2}, resume=False, quiet=True)
    (tmp_path / "run" / "last").rename(tmp_path / "run" / ".last.old")
    with pytest.raises(RunError, match="holds a run already"):
        run_training(tmp_path / "run", options, resume=False, quiet=True)
    assert run_training(tmp_path / "run", {"steps": 3}, resume=True, quiet=True)["steps"] == 3


def test_a_run_is_not_overwritten(options: dict[str, Any], tmp_path: Path) -> None:
    run_training(tmp_path / "run", {**options, "steps": 1}, resume=False, quiet=True)
    with pytest.raises(RunError, match="--resume"):
        run_training(tmp_path / "run", {**options, "steps": 1}, resume=False, quiet=True)


def test_a_best_whose_save_was_killed_is_found_again(
    options: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run_training(out, {**options, "steps": 2}, resume=False, quiet=True)
    (out / "best").rename(out / ".best.old")
    run_training(out, {}, resume=True, quiet=True)
    assert (out / "best" / "model.safetensors").exists()


def test_a_run_goes_on_without_what_it_started_from(
    options: dict[str, Any], tmp_path: Path
) -> None:
    run_training(tmp_path / "whole", options, resume=False, quiet=True)
    run_training(tmp_path / "cut", {**options, "steps": 4}, resume=False, quiet=True)
    shutil.rmtree(options["checkpoint"])
    result = run_training(tmp_path / "cut", {"steps": 8}, resume=True, quiet=True)
    assert result["steps"] == 8
    facts = json.loads((tmp_path / "cut" / "last" / "chatbot.json").read_text())
    assert facts["source"]["trained_from"] == "gpt2"
    shapes = [
        {name: array.shape for name, array in saved_weights(tmp_path / name / "last").items()}
        for name in ("whole", "cut")
    ]
    assert shapes[0] == shapes[1]
    # Its tokenizer is still the same, so that nothing is tokenised twice.
    assert len(list((tmp_path / "tokens").iterdir())) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"accumulation": 2}, "keeps its accumulation, which is 1; .*--checkpoint"),
        ({"optimizer": "muon"}, "keeps its optimizer, which is adamw"),
        ({"checkpoint": "elsewhere"}, "keeps its checkpoint"),
        ({"checkpoint": "", "size": "1x16x2"}, "keeps its checkpoint"),
        ({"precision": "mixed_float16"}, "another precision or other tasks"),
    ],
)
@pytest.mark.usefixtures("full_precision_after")
def test_what_a_run_that_goes_on_cannot_change(
    options: dict[str, Any], tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    run_training(tmp_path / "run", {**options, "steps": 1}, resume=False, quiet=True)
    with pytest.raises(RunError, match=reason):
        run_training(tmp_path / "run", {"steps": 2, **changes}, resume=True, quiet=True)


def test_tasks_that_are_added_need_another_run(options: dict[str, Any], tmp_path: Path) -> None:
    given = {**options, "steps": 1, "candidates": 1}
    run_training(tmp_path / "run", given, resume=False, quiet=True)
    with pytest.raises(RunError, match="leave --precision, --candidates"):
        run_training(tmp_path / "run", {"steps": 2, "candidates": 2}, resume=True, quiet=True)


def test_dropout_may_begin_later(options: dict[str, Any], tmp_path: Path) -> None:
    given = {**options, "steps": 1, "dropout": 0.0}
    run_training(tmp_path / "run", given, resume=False, quiet=True)
    changes = {"steps": 2, "dropout": 0.1}
    assert run_training(tmp_path / "run", changes, resume=True, quiet=True)["steps"] == 2


def test_a_damaged_state_is_named(options: dict[str, Any], tmp_path: Path) -> None:
    run_training(tmp_path / "run", {**options, "steps": 1}, resume=False, quiet=True)
    path = tmp_path / "run" / "last" / "optimizer.npz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RunError, match="last: cannot go on from here"):
        run_training(tmp_path / "run", {"steps": 2}, resume=True, quiet=True)


@pytest.mark.parametrize("content", ["", "[]", '{"run": 5}'])
def test_damaged_options_are_named(options: dict[str, Any], tmp_path: Path, content: str) -> None:
    run_training(tmp_path / "run", {**options, "steps": 1}, resume=False, quiet=True)
    (tmp_path / "run" / "last" / "meta.json").write_text(content)
    with pytest.raises(RunError, match=r"meta\.json: cannot go on from here"):
        run_training(tmp_path / "run", {"steps": 2}, resume=True, quiet=True)


def test_what_a_kill_undid_is_logged_once(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run_training(out, {**options, "steps": 2}, resume=False, quiet=True)
    before = steps_logged(out)
    with (out / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "lm": 5.0}\n')
    run_training(out, {"steps": 4}, resume=True, quiet=True)
    assert steps_logged(out) == [*before, 4]


def test_a_run_begun_again_keeps_nothing_of_one_that_saved_nothing(
    options: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    (out / "logs").mkdir(parents=True)
    (out / "logs" / "events").write_text("")
    for name in ("log.jsonl", "samples.md"):
        (out / name).write_text('{"step": 90, "lm": 5.0}\n')
    run_training(out, {**options, "steps": 1}, resume=False, quiet=True)
    assert steps_logged(out) == [1]
    assert not (out / "samples.md").exists()
    assert not (out / "logs" / "events").exists()


@pytest.mark.parametrize("left", ["best", "steps"])
def test_what_a_run_left_is_not_taken_for_the_new_one_s(
    options: dict[str, Any], tmp_path: Path, left: str
) -> None:
    (tmp_path / "run" / left).mkdir(parents=True)
    with pytest.raises(RunError, match=f"run/{left}: is left of a run .*; delete it"):
        run_training(tmp_path / "run", options, resume=False, quiet=True)


def test_another_validation_begins_anew_to_look_for_the_best(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    easy, hard = (tiny_dialogues(tmp_path / f"{name}.jsonl", 12) for name in ("easy", "hard"))
    perplexity = {"value": 9.0}

    def figures(self: Validation, model: Any) -> dict[str, float]:
        return {"ppl_token": perplexity["value"], "ppl_word": perplexity["value"]}

    monkeypatch.setattr(Validation, "figures", figures)
    given = {**options, "validation": easy, "evaluate_steps": 1, "steps": 1}
    run_training(tmp_path / "run", given, resume=False, quiet=True)
    perplexity["value"] = 20.0
    again = run_training(tmp_path / "run", {"steps": 2}, resume=True, quiet=True)
    assert again["best"]["step"] == 1
    given = {"steps": 3, "validation": hard}
    other = run_training(tmp_path / "run", given, resume=True, quiet=True)
    assert other["best"] == {"step": 3, "ppl_token": 20.0, "ppl_word": 20.0}
    assert json.loads((tmp_path / "run" / "best" / "meta.json").read_text())["step"] == 3


def steps_logged(out: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_log_that_was_cut_is_gone_on_with(options: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_training(out, {**options, "steps": 1}, resume=False, quiet=True)
    with (out / "log.jsonl").open("a") as log:
        log.write('{"step": 2, "lo')
    (out / "loss.png").unlink()
    run_training(out, {"steps": 3}, resume=True, quiet=True)
    assert (out / "loss.png").exists()


def test_a_run_that_ends_where_it_was_stopped_names_what_it_left(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Trainer._update

    def stopped(self: Trainer, batches: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        update(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", stopped)
        run_training(tmp_path / "run", options, resume=False, quiet=True)
    out = StringIO()
    call_command("train", "--resume", "--steps=1", "--out", str(tmp_path / "run"), stdout=out)
    assert out.getvalue().strip().endswith("run/last")


def test_two_processes_do_not_share_a_directory(options: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is at work here"):
            run_training(out, options, resume=False, quiet=True)
    assert run_training(out, {**options, "steps": 1}, resume=False, quiet=True)["steps"] == 1
