"""A tiny run end to end: it learns, survives a kill, and leaves what export and evaluation take."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")

from safetensors.numpy import load_file  # noqa: E402

from tests.training.tiny import tiny_checkpoint, tiny_dialogues, write_rows  # noqa: E402
from training.checkpoint import read_checkpoint  # noqa: E402
from training.config import TrainConfig, TrainError  # noqa: E402
from training.data.dialogue import DataError  # noqa: E402
from training.model import DialogueModel, load_weights, read_weights  # noqa: E402
from training.objective import learning_rate  # noqa: E402
from training.run import run_training  # noqa: E402
from training.train import Trainer  # noqa: E402

SMALL: dict[str, Any] = {
    "steps": 8,
    "rows": 2,
    "row_length": 64,
    "max_dialogue": 64,
    "target_share": 0.9,
    "learning_rate": 0.01,
    "candidates": 2,
    "dropout": 0.1,
    "evaluate_steps": 4,
    "save_minutes": 1e-9,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "gpt2")


@pytest.fixture
def options(checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    data = str(tiny_dialogues(tmp_path / "data.jsonl", 40))
    return {**SMALL, "checkpoint": checkpoint, "data": ((data, 1.0),)}


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def weights(directory: Path) -> dict[str, Any]:
    return dict(load_file(directory / "model.safetensors"))


def test_a_run_learns_both_tasks(options: dict[str, Any], tmp_path: Path) -> None:
    validation = tiny_dialogues(tmp_path / "held_out.jsonl", 12)
    given = {**options, "steps": 60, "evaluate_steps": 30, "validation": validation}
    result = run_training(tmp_path / "run", given, resume=False, quiet=True)
    losses = [entry["lm"] for entry in log(tmp_path / "run") if "lm" in entry]
    assert losses[-1] < 0.5 * losses[0]
    assert result["steps"] == 60
    assert result["best"]["ppl_token"] < 30
    meta = json.loads((tmp_path / "run" / "best" / "meta.json").read_text())
    assert meta["run"]["seed"] == 0
    assert meta["history"][-1]["step"] == 60
    for name in ("loss.png", "samples.md", "logs"):
        assert (tmp_path / "run" / name).exists()
    assert "**Do you have any pets?**" in (tmp_path / "run" / "samples.md").read_text()


def test_muon_learns_what_the_person_says_too(options: dict[str, Any], tmp_path: Path) -> None:
    given = {**options, "steps": 40, "optimizer": "muon", "person_coef": 0.5, "candidates": 1}
    run_training(tmp_path / "run", given, resume=False, quiet=True)
    losses = [entry["lm"] for entry in log(tmp_path / "run") if "lm" in entry]
    assert losses[-1] < 0.5 * losses[0]


@pytest.fixture
def full_precision_after() -> Iterator[None]:
    """A run's precision is Keras' global policy, which would meet the tests that follow."""
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("full_precision_after")
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_and_is_validated(
    options: dict[str, Any], tmp_path: Path, precision: str
) -> None:
    validation = tiny_dialogues(tmp_path / "held_out.jsonl", 12)
    given = {**options, "steps": 40, "evaluate_steps": 20, "validation": validation}
    given["precision"] = precision
    result = run_training(tmp_path / "run", given, resume=False, quiet=True)
    losses = [entry["lm"] for entry in log(tmp_path / "run") if "lm" in entry]
    assert losses[-1] < 0.5 * losses[0]
    assert result["best"]["ppl_token"] < 30
    assert {array.dtype.name for array in weights(tmp_path / "run" / "last").values()} == {
        "float32"
    }


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    options = {**options, "optimizer": optimizer}
    run_training(tmp_path / "whole", options, resume=False, quiet=True)

    update = Trainer._update

    def killed(self: Trainer, batch: Any) -> None:
        if self.state.step == 5:
            raise KeyboardInterrupt
        update(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(tmp_path / "cut", options, resume=False, quiet=True)
    state = json.loads((tmp_path / "cut" / "last" / "state.json").read_text())
    assert state["step"] == 5
    run_training(tmp_path / "cut", {}, resume=True, quiet=True)

    whole, cut = weights(tmp_path / "whole" / "last"), weights(tmp_path / "cut" / "last")
    assert whole.keys() == cut.keys()
    for name in whole:
        np.testing.assert_allclose(whole[name], cut[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_saved_where_it_was(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    update = Trainer._update

    def stopped(self: Trainer, batch: Any) -> None:
        if self.state.step == 2:
            os.kill(os.getpid(), number)
        update(self, batch)

    monkeypatch.setattr(Trainer, "_update", stopped)
    given = {**options, "save_minutes": 60}
    result = run_training(tmp_path / "run", given, resume=False, quiet=True)
    assert (result["stopped"], result["steps"]) == (True, 3)
    state = json.loads((tmp_path / "run" / "last" / "state.json").read_text())
    assert (state["step"], state["batch"]) == (3, 3)
    result = run_training(tmp_path / "run", {}, resume=True, quiet=True)
    assert (result["stopped"], result["steps"]) == (False, SMALL["steps"])


def test_a_save_killed_between_two_renames_is_found_again(
    options: dict[str, Any], tmp_path: Path
) -> None:
    run_training(tmp_path / "run", {**options, "steps": 2}, resume=False, quiet=True)
    (tmp_path / "run" / "last").rename(tmp_path / "run" / ".last.old")
    with pytest.raises(TrainError, match="holds a run already"):
        run_training(tmp_path / "run", options, resume=False, quiet=True)
    assert run_training(tmp_path / "run", {"steps": 3}, resume=True, quiet=True)["steps"] == 3


@pytest.mark.parametrize("one_task", [{"choice_coef": 0.0}, {"choice_share": 0.0}])
def test_a_head_that_is_not_trained_is_not_saved(
    options: dict[str, Any], tmp_path: Path, one_task: dict[str, Any]
) -> None:
    run_training(tmp_path / "run", {**options, "steps": 1, **one_task}, resume=False, quiet=True)
    assert "choice_head.weight" not in weights(tmp_path / "run" / "last")


def test_copies_along_the_run_stay(options: dict[str, Any], tmp_path: Path) -> None:
    run_training(tmp_path / "run", {**options, "keep_steps": 3}, resume=False, quiet=True)
    kept = sorted((tmp_path / "run" / "steps").iterdir())
    assert [path.name for path in kept] == ["3", "6"]
    name = "transformer.wte.weight"
    assert (weights(kept[0])[name] != weights(kept[1])[name]).any()


def test_accumulation_updates_every_other_batch(options: dict[str, Any], tmp_path: Path) -> None:
    given = {**options, "accumulation": 2, "steps": 4}
    assert run_training(tmp_path / "run", given, resume=False, quiet=True)["steps"] == 4


def test_a_checkpoint_is_one_for_transformers_too(
    options: dict[str, Any], tmp_path: Path, checkpoint: Path
) -> None:
    run_training(tmp_path / "run", {**options, "steps": 2}, resume=False, quiet=True)
    saved = read_checkpoint(tmp_path / "run" / "best")
    # Tokens for persona, person and bot were added to the vocabulary.
    assert saved.config.vocab_size == read_checkpoint(checkpoint).config.vocab_size + 3
    config = json.loads((tmp_path / "run" / "best" / "config.json").read_text())
    assert config["tie_word_embeddings"] is True


def test_the_model_is_keras_hub_s_gpt2(checkpoint: Path) -> None:
    """Same weights, same hidden states as the reference implementation."""
    keras_hub = pytest.importorskip("keras_hub")
    source = read_checkpoint(checkpoint)
    config = source.config
    reference = keras_hub.models.GPT2Backbone(
        vocabulary_size=config.vocab_size,
        num_layers=config.n_layer,
        num_heads=config.n_head,
        hidden_dim=config.n_embd,
        intermediate_dim=config.n_inner,
        dropout=0.0,
        max_sequence_length=config.n_ctx,
    )
    _copy_into(reference, source.weights, config)
    model = DialogueModel(config)
    load_weights(model, source.weights)
    ids = np.random.default_rng(1).integers(0, config.vocab_size, (1, 24)).astype(np.int32)
    batch = {
        "ids": ids,
        "positions": np.arange(24, dtype=np.int32)[None],
        "segments": np.ones_like(ids),
        "branches": np.zeros_like(ids),
        "starts": np.zeros_like(ids),
    }
    ours = keras.ops.convert_to_numpy(model.hidden(batch))
    theirs = reference({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    np.testing.assert_allclose(ours, keras.ops.convert_to_numpy(theirs)[0], atol=2e-5)
    assert all(np.array_equal(read_weights(model)[n], w) for n, w in source.weights.items())


def test_neighbours_in_a_row_do_not_see_each_other(checkpoint: Path) -> None:
    source = read_checkpoint(checkpoint)
    model = DialogueModel(source.config)
    load_weights(model, source.weights)
    ids = np.arange(10, 30, dtype=np.int32)[None]

    def hidden(given: Any) -> Any:
        batch = {
            "ids": given,
            "positions": np.r_[np.arange(10), np.arange(10)].astype(np.int32)[None],
            "segments": np.repeat([1, 2], 10).astype(np.int32)[None],
            "branches": np.zeros_like(given),
            "starts": np.zeros_like(given),
        }
        return keras.ops.convert_to_numpy(model.hidden(batch))

    changed = ids.copy()
    changed[0, :10] += 5
    np.testing.assert_allclose(hidden(ids)[10:], hidden(changed)[10:], atol=1e-6)


def test_the_learning_rate_rises_and_falls(tmp_path: Path) -> None:
    run = TrainConfig(checkpoint=str(tmp_path), out=tmp_path, grammar=1, steps=100, warmup=0.1)
    rates = [learning_rate(run, run.progress(step, 0.0)) for step in range(101)]
    assert max(rates) == pytest.approx(run.learning_rate)
    assert rates.index(max(rates)) == 10
    assert rates[100] == pytest.approx(0, abs=1e-9)
    timed = replace(run, steps=0, minutes=10.0)
    assert timed.progress(1, 300.0) == 0.5


def test_a_loss_that_is_not_a_number_says_what_to_change(
    options: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match="lower learning rate"):
        run_training(
            tmp_path / "run",
            {**options, "learning_rate": 1e30, "clip_norm": 1e30},
            resume=False,
            quiet=True,
        )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps": 0}, "steps or minutes"),
        ({"data": (), "grammar": 0}, "No data"),
        ({"rows": 0}, "rows must be above 0"),
        ({"evaluate_steps": 0}, "evaluate_steps must be above 0"),
        ({"dropout": 2.0}, "dropout must be from 0 to 1"),
        ({"optimizer": "sgd"}, "optimizer must be one of adamw, muon"),
        ({"precision": "int3"}, "precision must be one of"),
        ({"checkpoint": None}, "Give either checkpoint"),
        ({"row_length": 1024, "max_dialogue": 1024}, "512 positions"),
    ],
)
def test_options_that_cannot_be(
    options: dict[str, Any], tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(TrainError, match=reason):
        run_training(tmp_path / "run", {**options, **changes}, resume=False, quiet=True)


def test_a_run_is_not_overwritten(options: dict[str, Any], tmp_path: Path) -> None:
    run_training(tmp_path / "run", {**options, "steps": 1}, resume=False, quiet=True)
    with pytest.raises(TrainError, match="--resume"):
        run_training(tmp_path / "run", {**options, "steps": 1}, resume=False, quiet=True)


def test_data_without_a_reply(options: dict[str, Any], tmp_path: Path) -> None:
    path = write_rows(tmp_path / "empty.jsonl", [])
    with pytest.raises(DataError, match="holds no dialogue"):
        run_training(
            tmp_path / "run", {**options, "data": ((str(path), 1.0),)}, resume=False, quiet=True
        )


def _copy_into(reference: Any, source: Any, config: Any) -> None:
    heads, size = config.n_head, config.n_embd // config.n_head
    reference.get_layer("token_embedding").embeddings.assign(source["wte.weight"])
    reference.get_layer("position_embedding").position_embeddings.assign(source["wpe.weight"])
    for i in range(config.n_layer):
        layer = reference.get_layer(f"transformer_layer_{i}")
        attention = layer._self_attention_layer
        kernels = np.split(source[f"h.{i}.attn.c_attn.weight"], 3, axis=1)
        biases = np.split(source[f"h.{i}.attn.c_attn.bias"], 3)
        denses = (attention.query_dense, attention.key_dense, attention.value_dense)
        for dense, kernel, bias in zip(denses, kernels, biases, strict=True):
            dense.kernel.assign(kernel.reshape(-1, heads, size))
            dense.bias.assign(bias.reshape(heads, size))
        out = attention.output_dense
        out.kernel.assign(source[f"h.{i}.attn.c_proj.weight"].reshape(heads, size, -1))
        out.bias.assign(source[f"h.{i}.attn.c_proj.bias"])
        for name, dense in {
            "c_fc": layer._feedforward_intermediate_dense,
            "c_proj": layer._feedforward_output_dense,
        }.items():
            dense.kernel.assign(source[f"h.{i}.mlp.{name}.weight"])
            dense.bias.assign(source[f"h.{i}.mlp.{name}.bias"])
        for name, norm in {
            "ln_1": layer._self_attention_layer_norm,
            "ln_2": layer._feedforward_layer_norm,
        }.items():
            norm.gamma.assign(source[f"h.{i}.{name}.weight"])
            norm.beta.assign(source[f"h.{i}.{name}.bias"])
    reference.get_layer("layer_norm").gamma.assign(source["ln_f.weight"])
    reference.get_layer("layer_norm").beta.assign(source["ln_f.bias"])
