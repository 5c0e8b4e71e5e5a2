"""Exported bundles against KerasHub's GPT-2, which none of us wrote, on random weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from inference.bundle import load_bundle
from inference.runner import Runner
from training.export.bundle import ExportOptions, export_bundle

SPECIALS = ["<|endoftext|>", "<persona>", "<person>", "<bot>"]
VOCABULARY = 64  # as many as the graph returns logits of, so that all can be compared
LENGTH = 40
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    layers: int
    heads: int
    width: int
    n_ctx: int = 64


SHAPES = [Shape(1, 2, 64), Shape(2, 4, 128), Shape(3, 6, 384)]


def make_checkpoint(directory: Path, shape: Shape) -> Path:
    """A GPT-2 with random weights in Hugging Face's layout, with a tokenizer of 64 tokens."""
    random = np.random.default_rng(shape.width)
    width, weights = shape.width, dict[str, Floats]()

    def matrix(name: str, *size: int, scale: float = 0.08) -> None:
        weights[name] = random.normal(0, scale, size).astype(np.float32)

    matrix("transformer.wte.weight", VOCABULARY, width, scale=0.2)
    matrix("transformer.wpe.weight", shape.n_ctx, width)
    norms = ["ln_f", *(f"h.{i}.{norm}" for i in range(shape.layers) for norm in ("ln_1", "ln_2"))]
    for norm in norms:
        weights[f"transformer.{norm}.weight"] = random.normal(1, 0.1, width).astype(np.float32)
        matrix(f"transformer.{norm}.bias", width)
    for layer in range(shape.layers):
        for name, given, made in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, 4 * width),
            ("mlp.c_proj", 4 * width, width),
        ):
            matrix(f"transformer.h.{layer}.{name}.weight", given, made)
            matrix(f"transformer.h.{layer}.{name}.bias", made)
    directory.mkdir(parents=True)
    save_file(weights, directory / "model.safetensors")
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_embd": width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_positions": shape.n_ctx,
        "n_ctx": shape.n_ctx,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "tie_word_embeddings": True,
    }
    (directory / "config.json").write_text(json.dumps(config))
    letters = [chr(ord("!") + n) for n in range(VOCABULARY - len(SPECIALS))]
    tokens = {token: number for number, token in enumerate([*SPECIALS, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: f"{shape.layers}x{shape.width}")
def shape(request: pytest.FixtureRequest) -> Shape:
    found: Shape = request.param
    return found


@pytest.fixture(scope="module")
def checkpoint(shape: Shape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "gpt2", shape)


@pytest.fixture(scope="module")
def ids() -> npt.NDArray[np.int64]:
    return np.random.default_rng(7).integers(0, VOCABULARY, LENGTH)


@pytest.fixture(scope="module")
def reference(checkpoint: Path, ids: npt.NDArray[np.int64]) -> Floats:
    """KerasHub's logits (LENGTH, VOCABULARY), from the checkpoint as KerasHub reads it."""
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone.from_preset(str(checkpoint))
    hidden = backbone({"token_ids": ids[None, :], "padding_mask": np.ones((1, LENGTH), bool)})
    logits: Any = backbone.token_embedding(hidden, reverse=True)
    found: Floats = np.asarray(logits)[0]
    return found


def make_runner(checkpoint: Path, out: Path, quantization: str) -> Runner:
    export_bundle(checkpoint, out, ExportOptions(quantization=quantization))
    return Runner(load_bundle(out), slots=3, threads=1)


def whole(values: Floats, token_ids: npt.NDArray[np.int64]) -> Floats:
    """Logits by token from logits in falling order."""
    logits = np.empty_like(values)
    np.put_along_axis(logits, token_ids, values, axis=1)
    return logits


def positions(runner: Runner, ids: npt.NDArray[np.int64]) -> Floats:
    """Logits after every position: a prefill, then one token at a time from the cache."""
    first = whole(*runner.prefill(0, ids[:1], 0))[0]
    steps = ((ids[place : place + 1], np.array([place])) for place in range(1, len(ids)))
    return np.stack([first, *(whole(*runner.decode(*step))[0] for step in steps)])


def test_float_logits_are_kerashubs(
    checkpoint: Path, ids: npt.NDArray[np.int64], reference: Floats, tmp_path: Path
) -> None:
    runner = make_runner(checkpoint, tmp_path / "bundle", "none")
    np.testing.assert_allclose(positions(runner, ids), reference, atol=1e-4)
    runner.close()


@pytest.mark.parametrize(
    ("quantization", "correlation", "agreement"), [("int8", 0.995, 0.9), ("int4", 0.93, 0.6)]
)
def test_quantised_logits_are_close_to_kerashubs(
    checkpoint: Path,
    ids: npt.NDArray[np.int64],
    reference: Floats,
    tmp_path: Path,
    quantization: str,
    correlation: float,
    agreement: float,
) -> None:
    """Correlation of all logits, and share of positions with the same most probable token."""
    runner = make_runner(checkpoint, tmp_path / "bundle", quantization)
    logits = positions(runner, ids)
    assert np.corrcoef(logits.ravel(), reference.ravel())[0, 1] > correlation
    assert (logits.argmax(1) == reference.argmax(1)).mean() >= agreement
    runner.close()


def test_a_token_far_larger_than_all_others_costs_them_nothing(
    tmp_path: Path, ids: npt.NDArray[np.int64]
) -> None:
    """As the first token is in pretrained GPT-2s: one scale for all would round the rest to 0."""
    checkpoint = make_checkpoint(tmp_path / "gpt2", SHAPES[0])
    weights = load_file(checkpoint / "model.safetensors")
    first = weights["transformer.wte.weight"][0] = np.sign(weights["transformer.wte.weight"][1])
    weights["transformer.h.0.mlp.c_fc.weight"][:, 0] = 20 * first
    weights["transformer.h.0.mlp.c_proj.weight"][0] = 0
    save_file(weights, checkpoint / "model.safetensors")
    ids = np.concatenate([[0], 2 + ids[1:] % (VOCABULARY - 2)])  # token 0 comes once

    exact, quantised = (
        positions(make_runner(checkpoint, tmp_path / name, name), ids) for name in ("none", "int8")
    )
    assert np.corrcoef(exact[1:].ravel(), quantised[1:].ravel())[0, 1] > 0.98


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_the_cache_the_batch_and_the_pieces_change_nothing(
    checkpoint: Path, ids: npt.NDArray[np.int64], tmp_path: Path, quantization: str
) -> None:
    runner = make_runner(checkpoint, tmp_path / "bundle", quantization)
    tolerance = 1e-4 if quantization == "none" else 0.12
    at_once = [whole(*runner.prefill(1, ids[: place + 1], 0))[0] for place in range(LENGTH)]
    np.testing.assert_allclose(positions(runner, ids), np.stack(at_once), atol=tolerance)

    for start in range(0, LENGTH, 16):  # a long prompt in pieces
        piecewise = whole(*runner.prefill(2, ids[start : start + 16], start))[0]
    np.testing.assert_allclose(piecewise, at_once[-1], atol=tolerance)

    lengths = np.array([5, 20, 11])  # three chats of different lengths in one step
    for slot, length in enumerate(lengths):
        runner.prefill(slot, ids[:length], 0)
    together = whole(*runner.decode(ids[lengths], lengths))
    for slot, length in enumerate(lengths):
        np.testing.assert_allclose(together[slot], at_once[length], atol=tolerance)
    runner.close()


def test_a_slot_can_be_moved_saved_and_loaded(
    checkpoint: Path, ids: npt.NDArray[np.int64], tmp_path: Path
) -> None:
    runner = make_runner(checkpoint, tmp_path / "bundle", "int8")
    runner.prefill(2, ids[:20], 0)
    runner.move(2, 0, 20)
    moved = whole(*runner.decode(ids[20:21], np.array([20])))
    snapshot = runner.save(2, 20)
    runner.prefill(0, ids[20:39], 0)
    runner.load(0, snapshot, 20)
    np.testing.assert_array_equal(whole(*runner.decode(ids[20:21], np.array([20]))), moved)
    runner.close()
