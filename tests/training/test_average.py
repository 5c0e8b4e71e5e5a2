"""Several checkpoints become one, and a temperature goes into the weights."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from inference.bundle import load_bundle
from inference.prompt import Turn
from inference.runner import Runner
from tests.training.tiny import tiny_checkpoint
from training.checkpoints.directory import read_checkpoint, write_checkpoint
from training.export.bundle import ExportOptions, export_bundle
from training.measure.scoring import BundleScorer

TURNS = [Turn("person", "hi!")]


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[Path]:
    """Two of one model, the second with all of its weights doubled."""
    first = tiny_checkpoint(tmp_path / "first")
    second = tiny_checkpoint(tmp_path / "second")
    read = read_checkpoint(second)
    doubled = {name: 2 * values for name, values in read.weights.items()}
    write_checkpoint(second, read.config, doubled, end=0)
    return [first, second]


def average(paths: list[Path], out: Path, *options: object) -> None:
    call_command("average_checkpoints", *map(str, paths), "--out", str(out), *map(str, options))


def test_the_mean_of_two_checkpoints(checkpoints: list[Path], tmp_path: Path) -> None:
    average(checkpoints, tmp_path / "mean")
    first, mean = read_checkpoint(checkpoints[0]), read_checkpoint(tmp_path / "mean")
    for name, values in first.weights.items():
        np.testing.assert_allclose(mean.weights[name], 1.5 * values, rtol=1e-6)


def test_what_was_averaged_is_told_to_programs_too(checkpoints: list[Path], tmp_path: Path) -> None:
    out, told = str(tmp_path / "mean"), StringIO()
    named = (*map(str, checkpoints), "--out", out)
    call_command("average_checkpoints", *named, "--json", stdout=told)
    assert json.loads(told.getvalue()) == {"out": out, "checkpoints": 2}


def test_a_mean_says_what_it_is_of(checkpoints: list[Path], tmp_path: Path) -> None:
    runs = [tmp_path / "run" / name for name in ("steps/100", "best")]
    for path, checkpoint in zip(runs, checkpoints, strict=True):
        shutil.copytree(checkpoint, path)
    (runs[-1] / "chatbot.json").write_text('{"name": "one", "source": {"steps": 8}}')
    average(runs, tmp_path / "mean", "--temperature", 1.2)
    facts = json.loads((tmp_path / "mean" / "chatbot.json").read_text())
    source = {"steps": 8, "mean_of": ["run/steps/100", "run/best"], "temperature": 1.2}
    assert facts == {"name": "one", "source": source}


def test_a_temperature_divides_the_logits(checkpoints: list[Path], tmp_path: Path) -> None:
    values = []
    for number, temperature in enumerate((1, 2)):
        out = tmp_path / f"at {temperature}"
        average(checkpoints[:1], out, "--temperature", temperature)
        bundle = tmp_path / f"bundle {number}"
        options = ["--checkpoint", str(out), "--out", str(bundle), "--quantization", "none"]
        call_command("export_bundle", *options)
        runner = Runner(load_bundle(bundle), slots=1, threads=1)
        values.append(runner.prefill(0, [5, 6, 7], 0).values.copy())
        runner.close()
    np.testing.assert_allclose(values[1], values[0] / 2, rtol=1e-4)


def test_a_temperature_leaves_the_second_head_as_sure_as_it_is(
    checkpoints: list[Path], tmp_path: Path
) -> None:
    add_weights(checkpoints[0], choice_head=np.random.default_rng(1).normal(0, 1, (32, 1)))
    average(checkpoints[:1], tmp_path / "hot", "--temperature", 2)
    scores = []
    for path in (checkpoints[0], tmp_path / "hot"):
        out = path.with_name(f"{path.name} bundle")
        bundle = export_bundle(path, out, ExportOptions(quantization="none"))
        scores.append(BundleScorer(bundle, threads=1).rank(["i am"], TURNS, ["i am", "a nurse"]))
    cold, hot = (score.head for score in scores)
    assert cold is not None
    assert hot is not None
    np.testing.assert_allclose(cold, hot, rtol=1e-4)


def test_a_head_of_its_own_stays_one(checkpoints: list[Path], tmp_path: Path) -> None:
    head = -read_checkpoint(checkpoints[0]).weights["wte.weight"]
    add_weights(checkpoints[0], lm_head=head)
    average(checkpoints[:1], tmp_path / "mean")
    # Under the name that transformers gives it.
    np.testing.assert_array_equal(
        load_file(tmp_path / "mean" / "model.safetensors")["lm_head.weight"], head
    )
    config = json.loads((tmp_path / "mean" / "config.json").read_text())
    assert config["tie_word_embeddings"] is False


def test_attention_is_scaled_as_before(checkpoints: list[Path], tmp_path: Path) -> None:
    scales = {"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False}
    path = checkpoints[0] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | scales))
    average(checkpoints[:1], tmp_path / "mean")
    assert read_checkpoint(tmp_path / "mean").config == read_checkpoint(checkpoints[0]).config


def add_weights(checkpoint: Path, **added: Any) -> None:
    path = checkpoint / "model.safetensors"
    named = {f"{name}.weight": values.astype(np.float32) for name, values in added.items()}
    save_file({**load_file(path), **named}, path)


def test_what_has_no_mean_is_one_line(checkpoints: list[Path], tmp_path: Path) -> None:
    wide = tiny_checkpoint(tmp_path / "wide", width=64)
    with pytest.raises(CommandError, match="only checkpoints of one model"):
        average([checkpoints[0], wide], tmp_path / "mean")
    with pytest.raises(CommandError, match="no such checkpoint"):
        average([tmp_path / "nowhere"], tmp_path / "mean")
    with pytest.raises(CommandError, match="temperature must be above 0"):
        average(checkpoints, tmp_path / "mean", "--temperature", 0)
    for endless in ("nan", "inf"):
        with pytest.raises(CommandError, match=f"above 0 and finite, not {endless}"):
            average(checkpoints, tmp_path / "mean", "--temperature", endless)
    assert not (tmp_path / "mean").exists()
    with pytest.raises(CommandError, match="exists already"):
        average(checkpoints, checkpoints[0])


def test_checkpoints_with_other_tokens_have_no_mean(
    checkpoints: list[Path], tmp_path: Path
) -> None:
    path = checkpoints[0] / "tokenizer.json"
    known = json.loads(path.read_text())
    vocabulary = known["model"]["vocab"]
    vocabulary["!"], vocabulary["#"] = vocabulary["#"], vocabulary["!"]
    path.write_text(json.dumps(known))
    with pytest.raises(CommandError, match="first: its tokenizer has other tokens than"):
        average(checkpoints, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_mean_that_cannot_be_written_leaves_nothing(
    checkpoints: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(CommandError, match=r"mean: cannot be written .*No space left"):
        average(checkpoints, tmp_path / "mean")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
