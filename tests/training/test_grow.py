"""A checkpoint grows: it says the same as before, and all of it can learn."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from inference.bundle import load_bundle
from inference.runner import Runner
from tests.training.tiny import SMALL_RUN, tiny_checkpoint, tiny_dialogues
from training.checkpoints.directory import read_checkpoint
from training.export.bundle import ExportOptions, export_bundle


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "small")


def grow(small: Path, out: Path, *options: object) -> str:
    told = StringIO()
    named = ("grow_checkpoint", str(small), "--out", str(out), *map(str, options))
    call_command(*named, stdout=told)
    return told.getvalue()


def logits(checkpoint: Path) -> np.ndarray:
    out = checkpoint.with_name(f"{checkpoint.name} bundle")
    export_bundle(checkpoint, out, ExportOptions(quantization="none"))
    runner = Runner(load_bundle(out), slots=1, threads=1)
    values = runner.prefill(0, [5, 6, 7, 8], 0).values.copy()
    runner.close()
    return values


@pytest.mark.parametrize(
    ("options", "layers", "inner"),
    [
        (["--inner", 200], 2, 200),
        (["--layers", 4], 4, 128),
        (["--layers", 3], 3, 128),
        (["--layers", 7, "--inner", 129], 7, 129),
    ],
)
def test_a_larger_model_says_what_the_smaller_says(
    small: Path, tmp_path: Path, options: list[object], layers: int, inner: int
) -> None:
    told = grow(small, tmp_path / "large", *options)
    assert told == f"{tmp_path}/large: {layers} layers of {inner} inner units\n"
    config = read_checkpoint(tmp_path / "large").config
    assert (config.n_layer, config.n_inner) == (layers, inner)
    np.testing.assert_allclose(logits(tmp_path / "large"), logits(small), rtol=1e-5, atol=1e-6)


def test_all_of_it_learns(small: Path, tmp_path: Path) -> None:
    grow(small, tmp_path / "large", "--layers", 3, "--inner", 160)
    call_command(
        "train",
        checkpoint=str(tmp_path / "large"),
        data=[(str(tiny_dialogues(tmp_path / "data.jsonl", 20)), 1.0)],
        out=tmp_path / "run",
        **SMALL_RUN,
        stdout=StringIO(),
    )
    before, after = (read_checkpoint(path) for path in (tmp_path / "large", tmp_path / "run/last"))
    heard = "h.{}.mlp.c_proj.weight"
    assert not before.weights[heard.format(1)].any()  # the new layer
    assert not before.weights[heard.format(0)][128:].any()  # the new units of an old one
    for layer in range(3):
        assert after.weights[heard.format(layer)].all(axis=1).any()
        for name in ("attn.c_attn.weight", "mlp.c_fc.weight"):
            change = after.weights[f"h.{layer}.{name}"] - before.weights[f"h.{layer}.{name}"]
            assert np.abs(change).max() > 0


def test_tokenizer_and_facts_stay_and_programs_are_told(small: Path, tmp_path: Path) -> None:
    (small / "chatbot.json").write_text('{"name": "small"}')
    told = json.loads(grow(small, tmp_path / "large", "--layers", 3, "--json"))
    assert told == {"out": f"{tmp_path}/large", "layers": 3, "inner": 128}
    tokenizer = "tokenizer.json"
    assert (tmp_path / "large" / tokenizer).read_bytes() == (small / tokenizer).read_bytes()
    facts = json.loads((tmp_path / "large" / "chatbot.json").read_text())
    grown = {"grown_from": "small", "layers": 3, "inner": 128}
    assert facts == {"name": "small", "source": grown}


def test_the_seed_decides_what_new_units_hear(small: Path, tmp_path: Path) -> None:
    name = "h.0.mlp.c_fc.weight"
    first, again, other = (
        read_checkpoint(path).weights[name]
        for seed, path in zip((1, 1, 2), map(tmp_path.joinpath, "abc"), strict=True)
        if grow(small, path, "--inner", 140, "--seed", seed)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_what_cannot_grow_is_one_line(small: Path, tmp_path: Path) -> None:
    for options in ([], ["--layers", 1], ["--inner", 64, "--layers", 3], ["--layers", 2]):
        with pytest.raises(CommandError, match="has 2 layers of 128 inner units; give more of one"):
            grow(small, tmp_path / "large", *options)
    with pytest.raises(CommandError, match="no such checkpoint directory"):
        grow(tmp_path / "nowhere", tmp_path / "large", "--layers", 3)
    with pytest.raises(CommandError, match="exists already; choose another directory"):
        grow(small, small, "--layers", 3)
    config = small / "config.json"
    scaled = {"scale_attn_by_inverse_layer_idx": True}
    config.write_text(json.dumps(json.loads(config.read_text()) | scaled))
    with pytest.raises(CommandError, match="none can be put between them"):
        grow(small, tmp_path / "large", "--layers", 3)
    assert not (tmp_path / "large").exists()
    grow(small, tmp_path / "large", "--inner", 256)
