"""`manage.py benchmark`, mostly on the real default bundle. No figure is held to a value."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.bundle import Bundle
from tests.training.tiny import tiny_checkpoint
from training.bench.checkpoint import size_of, write_random_checkpoint
from training.bench.side_by_side import Times
from training.checkpoints.directory import read_config
from training.checkpoints.scratch import Size
from training.export.bundle import ExportOptions, export_bundle


@pytest.fixture
def small(tmp_path: Path) -> Bundle:
    """A bundle that is exported and run in no time."""
    size = Size(layers=2, width=64, heads=2, positions=256, vocabulary=600)
    checkpoint = write_random_checkpoint(tmp_path / "small", size)
    return export_bundle(checkpoint, tmp_path / "bundle", ExportOptions())


@pytest.fixture
def absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No peer is installed as far as workers can see."""
    for package in ("ctranslate2", "gguf", "xllamacpp", "keras_hub"):
        text = f"raise ModuleNotFoundError(name={package!r})\n"
        (tmp_path / f"{package}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_other_programs_run_a_model_of_the_same_shape(tmp_path: Path) -> None:
    size = Size(layers=2, width=64, heads=2, positions=256, vocabulary=600, inner=96)
    checkpoint = write_random_checkpoint(tmp_path / "wide", size)
    bundle = export_bundle(checkpoint, tmp_path / "bundle", ExportOptions())
    assert bundle.n_inner == 96
    theirs = write_random_checkpoint(tmp_path / "theirs", size_of(bundle))
    assert read_config(theirs / "config.json") == read_config(checkpoint / "config.json")


def benchmark(*arguments: str) -> tuple[dict[str, Any], str]:
    """The JSON line of a run, and what was said meanwhile."""
    out, err = StringIO(), StringIO()
    call_command("benchmark", *arguments, "--json", stdout=out, stderr=err)
    return json.loads(out.getvalue().splitlines()[-1]), err.getvalue()


def test_the_live_bundle_is_measured_in_one_json_line() -> None:
    line, _ = benchmark("--chats", "1,2", "--tokens", "8")
    for name in ("decode_tok_s", "with_prompts_tok_s", "engine_share", "engine_us"):
        assert line[name].keys() == {"1", "2"}
    assert line["first_token_ms"].keys() == {"p50", "p95"}
    positive = (line["load_s"], line["rss_mb"], line["prefill_tok_s"], line["memory_gb_s"])
    assert min(*positive, line["bus_share"], *line["decode_tok_s"].values()) > 0
    assert line["peers"] == line["ratios"] == {}
    assert line["machine"]


def test_the_table_says_the_same(small: Bundle) -> None:
    out = StringIO()
    arguments = ("--bundle", str(small.path), "--chats", "1,2", "--tokens", "40")
    call_command("benchmark", *arguments, stdout=out, stderr=StringIO())
    for words in ("engine's own part of a step", "MB resident", "GB/s", "loaded in"):
        assert words in out.getvalue()


def test_special_tokens_at_the_end_and_several_candidates(tmp_path: Path) -> None:
    """As every checkpoint of the Hub is exported, and as its sampling may recommend."""
    checkpoint = tiny_checkpoint(tmp_path / "gpt2")
    facts = {"sampling": {"candidates": 4}}
    bundle = export_bundle(checkpoint, tmp_path / "bundle", ExportOptions(facts=facts))
    line, _ = benchmark("--bundle", str(bundle.path), "--chats", "1,2", "--tokens", "40")
    assert line["decode_tok_s"]["2"] > 0


@pytest.mark.parametrize(
    ("name", "reason"), [("no/such.png", "cannot be written"), ("such.odd", "cannot be drawn")]
)
def test_a_plot_that_cannot_be_written_loses_no_figure(
    small: Bundle, tmp_path: Path, name: str, reason: str
) -> None:
    out = StringIO()
    arguments = ("--bundle", str(small.path), "--chats", "1", "--tokens", "40", "--json")
    with pytest.raises(CommandError, match=f"{name}: {reason}"):
        call_command(
            "benchmark", *arguments, "--plot", str(tmp_path / name),
            stdout=out, stderr=StringIO(),
        )  # fmt: skip
    assert json.loads(out.getvalue())["decode_tok_s"]["1"] > 0


@pytest.mark.usefixtures("absent")
def test_peers_that_are_not_installed_are_left_out(small: Bundle, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    arguments = ("--bundle", str(small.path), "--chats", "1", "--tokens", "40")
    line, said = benchmark(*arguments, "--peers", "--plot", str(picture))
    assert line["side_by_side"].keys() == {"ours int8", "ours int4"}
    assert line["side_by_side"]["ours int8"]["rss_mb"] > 0
    assert line["peers"] == line["ratios"] == {}
    for name, package in (("ctranslate2",) * 2, ("llama.cpp", "gguf")):
        assert f"{name}: left out, the package {package} is missing" in said
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("whole", "prompts", "decoding"),
    [
        ([3.0, 3.1, 9.0], [1.0, 1.0, 1.2], 2.0),
        ([1.0, 1.0, 1.0], [1.2, 1.2, 1.2], None),  # less than nothing
        ([1.1, 1.5, 1.6], [1.0, 1.0, 1.0], None),  # less than rounds differ by
        ([0.3, 0.3, 0.3], [0.1, 0.2, 0.3], None),
    ],
)
def test_what_noise_hides_is_no_figure(
    whole: list[float], prompts: list[float], decoding: float | None
) -> None:
    assert Times(whole, prompts).decoding == decoding


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--tokens", "1"], "--tokens must be from 8 to 150, not 1"),
        (["--tokens", "1000"], "--tokens must be from 8 to 150, not 1000"),
        (["--chats", "none"], "must be numbers of chats"),
        (["--bundle", "nowhere"], "nowhere"),
        (["--bundle", "a", "--distilgpt2"], "not allowed with"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("benchmark", *arguments, stdout=StringIO(), stderr=StringIO())
