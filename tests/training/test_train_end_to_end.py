"""Three commands from dialogues to a bundle that chats."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.engine import Engine
from inference.params import EngineConfig, SamplingParams
from inference.prompt import Turn
from tests.training.tiny import tiny_checkpoint, tiny_dialogues

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
pytest.importorskip("keras")

SIZES = ("--rows", 2, "--row-length", 256, "--max-dialogue", 256, "--target-share", 0.9)


def run(command: str, *options: object) -> dict[str, Any]:
    out = StringIO()
    call_command(command, *map(str, options), "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return report


def test_train_evaluate_export_chat(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "gpt2")
    data = tiny_dialogues(tmp_path / "data.jsonl", 30)
    out = tmp_path / "run"
    trained = run(
        "train", "--checkpoint", checkpoint, "--data", f"{data}=2", "--grammar", 4,
        "--characters", 5, "--out", out, "--steps", 30, "--learning-rate", 0.01, *SIZES,
    )  # fmt: skip
    assert trained["steps"] == 30

    before = run(
        "evaluate", "--checkpoint", checkpoint, "--data", data, "--replies", 0, "--chats", 0
    )
    after = run(
        "evaluate", "--checkpoint", out / "best", "--data", data, "--replies", 0, "--chats", 0
    )
    assert after["ppl_word"] < 0.2 * before["ppl_word"]

    bundle = tmp_path / "bundle"
    exported = run("export_bundle", "--checkpoint", out / "best", "--out", bundle)
    assert exported["name"] == "run"
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["source"]["trained_from"] == "gpt2"
    assert manifest["source"]["steps"] == 30
    command = manifest["source"]["command"]
    assert command.startswith("manage.py train --checkpoint gpt2 --data data.jsonl=2 --steps 30 ")
    assert "--learning-rate 0.01" in command
    assert str(tmp_path) not in command

    from training.measure.replies import Ask, answer_all

    engine = Engine(EngineConfig(bundle_dir=bundle, max_batch=2))
    try:
        asks = [Ask(["i am a nurse."], [Turn("person", "hi!")])] * 3
        answers = answer_all(engine, asks, SamplingParams(max_tokens=8, seed=1))
    finally:
        engine.close()
    assert len(answers.texts) == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--steps", "5"), "Give either checkpoint"),
        (("--checkpoint", "/nowhere", "--data", "chitchat", "--steps", "1"), "/nowhere"),
        (("--checkpoint", "/nowhere", "--data", "a.jsonl=0", "--steps", "1"), "a number above 0"),
        (("--checkpoint", "/nowhere", "--data", "a.jsonl=inf", "--steps", "1"), "above 0"),
        (("--checkpoint", "/nowhere", "--steps", "1"), "No data"),
        (("--resume",), "holds no run to go on with"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, options: tuple[str, ...], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("train", "--out", str(tmp_path / "run"), *options)
