"""A bundle that is missing, damaged or foreign is refused with the file and the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.bundle import file_entry, load_bundle
from inference.errors import BundleError
from tests.inference.conftest import DEFAULT_BUNDLE


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle"))


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    change(manifest)
    (bundle / "bundle.json").write_text(json.dumps(manifest))


def test_the_default_bundle_is_whole_small_and_described(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call_command("check_bundle", "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["bytes"] < 40_000_000
    card = (DEFAULT_BUNDLE / "README.md").read_text()
    assert "licence" in card.lower() or "license" in card.lower()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (shutil.rmtree, "no such bundle directory"),
        (lambda b: (b / "bundle.json").unlink(), r"bundle\.json: missing"),
        (lambda b: (b / "bundle.json").write_text("{"), r"bundle\.json: not valid JSON"),
        (lambda b: (b / "bundle.json").write_text("[]"), "must hold a JSON object"),
        (lambda b: (b / "bundle.json").write_text("[" * 99_999), r"bundle\.json: not valid JSON"),
        (lambda b: (b / "model.onnx").unlink(), r"model\.onnx: missing"),
        (lambda b: (b / "tokenizer.json").write_bytes(b"x"), r"tokenizer\.json: damaged: 1 bytes"),
        (lambda b: edit(b, lambda m: m.update(format_version=99)), "format_version: .*not 99"),
        (lambda b: edit(b, lambda m: m.update(architecture="llama")), "architecture: .*'llama'"),
        (lambda b: edit(b, lambda m: m.pop("n_ctx")), "n_ctx: .*missing"),
        (
            lambda b: edit(b, lambda m: m["special_tokens"].update(bot=10**9)),
            "bot: 1000000000 is outside the vocabulary",
        ),
        (lambda b: edit(b, lambda m: m["files"].pop("model.onnx")), r"model\.onnx is not listed"),
        (
            lambda b: edit(b, lambda m: m["files"].pop("model.onnx.data")),
            r"files: model\.onnx\.data is not listed, .* export the bundle again",
        ),
        (lambda b: edit(b, lambda m: m["files"].update({"a\0b": {}})), "not a plain file name"),
    ],
)
def test_damage_is_named(copy: Path, damage: Callable[[Path], None], reason: str) -> None:
    damage(copy)
    with pytest.raises(BundleError, match=reason) as refusal:
        load_bundle(copy)
    assert str(copy) in str(refusal.value)
    with pytest.raises(CommandError, match=reason):
        call_command("check_bundle", str(copy))


@pytest.mark.parametrize("temperature", [-1, 10**400, float("nan")], ids=["low", "huge", "none"])
def test_what_a_server_would_not_load_is_not_called_whole(copy: Path, temperature: float) -> None:
    edit(copy, lambda m: m["sampling"].update(temperature=temperature))
    with pytest.raises(CommandError, match="sampling: temperature must be"):
        call_command("check_bundle", str(copy))


def test_more_tokens_than_the_graph_has_are_not_believed(copy: Path) -> None:
    edit(copy, lambda m: m.update(vocab_size=m["vocab_size"] + 1))
    with pytest.raises(CommandError, match=r"model\.onnx: is no model of the shape"):
        call_command("check_bundle", str(copy))


def test_a_token_beyond_the_model_s_is_found(copy: Path) -> None:
    """There are no more tokens than the model has, but one of them has a higher id."""
    tokenizer = copy / "tokenizer.json"
    content = json.loads(tokenizer.read_text())
    content["model"]["vocab"]["\u0120hello"] = 12_345
    tokenizer.write_text(json.dumps(content))
    edit(copy, lambda m: m["files"].update({"tokenizer.json": asdict(file_entry(tokenizer))}))
    with pytest.raises(CommandError, match=r"tokenizer\.json: ids up to 12345, but .* 12000 "):
        call_command("check_bundle", str(copy))


def test_weights_that_are_not_there_are_missed(copy: Path) -> None:
    edit(copy, lambda m: m["files"].pop("model.onnx.data"))
    (copy / "model.onnx.data").unlink()
    with pytest.raises(CommandError, match=r"model\.onnx: ONNX Runtime cannot load it"):
        call_command("check_bundle", str(copy))


def test_a_manifest_of_earlier_says_nothing_of_inner_units(copy: Path) -> None:
    edit(copy, lambda manifest: manifest.update(n_inner=99))
    assert load_bundle(copy).n_inner == 99
    edit(copy, lambda manifest: manifest.pop("n_inner"))
    bundle = load_bundle(copy)
    assert bundle.n_inner == 4 * bundle.n_embd


def test_a_flipped_bit_is_found(copy: Path) -> None:
    path = copy / "model.onnx.data"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.onnx\.data: damaged: its SHA-256"):
        load_bundle(copy)
