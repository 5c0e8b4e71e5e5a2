"""What training starts from: the Hub's cache, or nothing but a stated size."""

from __future__ import annotations

import json
import os
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
pytest.importorskip("keras")

from django.core.management import CommandError, call_command

from tests.training.tiny import (
    dialogue_row,
    into_shards,
    tiny_checkpoint,
    tiny_dialogues,
    write_rows,
)
from training.checkpoints.directory import read_checkpoint
from training.checkpoints.hub import checkpoint_directory
from training.checkpoints.scratch import Size, write_new_checkpoint
from training.checkpoints.vocabulary import is_lower_case, read_vocabulary
from training.errors import CheckpointError

SMALL: dict[str, Any] = {
    "steps": 2,
    "rows": 2,
    "row_length": 64,
    "max_dialogue": 64,
    "target_share": 0.9,
    "json": True,
}


@pytest.fixture
def data(tmp_path: Path) -> tuple[str, float]:
    return str(tiny_dialogues(tmp_path / "data.jsonl", 20)), 1.0


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache with one model in it, and no network."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    model = cache / "models--someone--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    (model / "snapshots").mkdir()
    shutil.move(tiny_checkpoint(tmp_path / "tiny"), model / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


@pytest.mark.usefixtures("hub")
def test_a_checkpoint_of_the_hub_is_trained_and_exported(
    data: tuple[str, float], tmp_path: Path
) -> None:
    call_command(
        "train", checkpoint="hf://someone/tiny", data=[data], out=tmp_path / "run", **SMALL
    )
    facts = (tmp_path / "run" / "last" / "chatbot.json").read_text()
    assert '"trained_from": "someone/tiny"' in facts
    assert '"window": 64' in facts
    call_command("export_bundle", checkpoint="hf://someone/tiny", out=tmp_path / "b", json=True)
    bundle = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert (bundle["name"], bundle["source"]["checkpoint"]) == ("someone/tiny", "someone/tiny")


def test_what_belongs_to_a_checkpoint_of_the_hub_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = into_shards(tiny_checkpoint(tmp_path / "tiny"))
    for name in ("added_tokens.json", "pytorch_model.bin", "model.onnx"):
        (there / name).write_text("{}")
    fetched = tmp_path / "cache"
    fetched.mkdir()

    def download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        for path in there.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, fetched)
        return str(fetched)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert checkpoint_directory("hf://someone/tiny") == fetched
    assert read_checkpoint(fetched).config.n_embd == 32
    names = {path.name for path in fetched.iterdir()}
    assert "added_tokens.json" in names
    assert not {"pytorch_model.bin", "model.onnx"} & names


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://someone/else", "the Hub cannot be reached"),
        ("hf://nobody", "a name on the Hub is hf://owner/name"),
    ],
)
def test_what_the_hub_does_not_give_is_said_in_one_line(
    name: str, message: str, data: tuple[str, float], tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        call_command("train", checkpoint=name, data=[data], out=tmp_path / "run", **SMALL)
    assert "\n" not in str(raised.value)


def test_why_the_hub_s_files_cannot_be_fetched_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ProxyError(Exception):
        """The Hub's HTTP client has a kind of its own."""

    for error in (OSError(28, "No space left on device"), ProxyError("403 Forbidden\n")):

        def fail(*_: Any, **__: Any) -> None:
            raise error  # noqa: B023

        monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
        with pytest.raises(CheckpointError, match="cannot be fetched from the Hub") as told:
            checkpoint_directory("hf://someone/tiny")
        assert str(error).strip() in str(told.value)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "command",
    [
        ("average_checkpoints", "hf://someone/tiny", "--out"),
        ("grow_checkpoint", "hf://someone/tiny", "--layers", "3", "--out"),
        ("evaluate", "--checkpoint", "hf://someone/tiny", "--data"),
        ("export_bundle", "--checkpoint", "hf://someone/tiny", "--out"),
    ],
)
def test_without_the_hub_s_client_every_command_says_the_same(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CommandError, match=r"^The package huggingface_hub is missing; requirem"):
        call_command(*command, str(tmp_path / "x"))


def test_a_model_of_stated_size_learns_from_nothing(
    data: tuple[str, float], tmp_path: Path
) -> None:
    call_command(
        "train",
        *("--size", "2x32x4", "--vocabulary", "320", "--positions", "128"),
        data=[data],
        out=tmp_path / "run",
        **SMALL,
    )
    checkpoint = read_checkpoint(tmp_path / "run" / "last")
    config = checkpoint.config
    assert (config.n_layer, config.n_embd, config.n_head, config.n_ctx) == (2, 32, 4, 128)
    assert config.vocab_size <= 320
    assert is_lower_case(read_vocabulary(tmp_path / "run" / "last").tokenizer)


def test_a_tokenizer_is_made_of_grammar_dialogues_too(tmp_path: Path) -> None:
    call_command(
        "train",
        *("--size", "1x32x4", "--vocabulary", "600", "--positions", "128", "--grammar", "20"),
        out=tmp_path / "run",
        **SMALL,
    )
    tokenizer = read_vocabulary(tmp_path / "run" / "last").tokenizer
    assert tokenizer.get_vocab_size() == 600
    assert tokenizer.encode(" what do you").tokens == ["\u0120what", "\u0120do", "\u0120you"]


def test_another_size_after_an_attempt_that_failed(data: tuple[str, float], tmp_path: Path) -> None:
    out = tmp_path / "run"
    made = ("--vocabulary", "320", "--positions", "128")
    too_long = {**SMALL, "row_length": 256, "max_dialogue": 256}
    with pytest.raises(CommandError, match="more than the checkpoint's 128"):
        call_command("train", "--size", "1x32x4", *made, data=[data], out=out, **too_long)
    call_command("train", "--size", "2x32x4", *made, data=[data], out=out, **SMALL)
    assert read_checkpoint(out / "last").config.n_layer == 2


@pytest.mark.parametrize("size", ["big", "2x30x4", "0x32x4"])
def test_a_size_that_cannot_be_is_named(size: str, data: tuple[str, float], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="size"):
        call_command("train", size=size, data=[data], out=tmp_path / "run", **SMALL)


def test_heads_that_could_not_be_served_are_not_trained(
    data: tuple[str, float], tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="size 1x60x5: heads of 12 could not be served"):
        call_command("train", size="1x60x5", data=[data], out=tmp_path / "run", **SMALL)
    given = tiny_checkpoint(tmp_path / "given")
    config = given / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"n_head": 8}))
    with pytest.raises(CommandError, match=r"config\.json: .* makes heads of 4") as raised:
        call_command("train", checkpoint=str(given), data=[data], out=tmp_path / "run", **SMALL)
    assert "\n" not in str(raised.value)


def test_a_tokenizer_is_made_of_text_as_prompts_have_it(tmp_path: Path) -> None:
    broken = dialogue_row(turns=["hi \ud83d there", "It\u2019s I !"])
    data = write_rows(tmp_path / "data.jsonl", [broken, *[dialogue_row()] * 20])
    sized = ("--size", "1x32x4", "--vocabulary", "400", "--positions", "128")
    call_command("train", *sized, data=[(str(data), 1.0)], out=tmp_path / "run", **SMALL)
    tokens = read_vocabulary(tmp_path / "run" / "last").tokenizer.get_vocab()
    # The data has "Hi!" and "How are you?": a space stands before neither mark.
    assert "\u0120hi" in tokens
    assert not {"\u0120!", "\u0120?"} & set(tokens)


def test_a_checkpoint_and_a_size_are_one_too_many(data: tuple[str, float], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Give either checkpoint"):
        call_command("train", data=[data], out=tmp_path / "run", **SMALL)


def test_a_word_without_end_is_cut_for_a_new_vocabulary(tmp_path: Path) -> None:
    """Merging takes the square of a word's length: a few hundred thousand signs would take days."""
    size = Size.parse("1x16x2", positions=64, vocabulary=400, lowercase=True)
    texts = [f"hello there, my friend {'y' * 400_000}", "hello there"] * 2
    write_new_checkpoint(tmp_path / "start", size, texts, seed=0)
    tokenizer = read_vocabulary(tmp_path / "start").tokenizer
    assert tokenizer.encode(" hello there").tokens == ["Ġhello", "Ġthere"]
