"""A tiny run end to end: it learns, and leaves what export and evaluation take."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")

from safetensors import SafetensorError  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

from tests.training.tiny import (  # noqa: E402
    SMALL_RUN,
    saved_weights,
    tiny_checkpoint,
    tiny_dialogues,
    write_rows,
)
from training.checkpoints.directory import read_checkpoint  # noqa: E402
from training.checkpoints.vocabulary import read_vocabulary, write_tokenizer  # noqa: E402
from training.config import TrainConfig  # noqa: E402
from training.errors import CheckpointError, DataError, RunError  # noqa: E402
from training.model import DialogueModel, load_weights, read_weights  # noqa: E402
from training.objective import learning_rate  # noqa: E402
from training.report import RunReport  # noqa: E402
from training.run import config_from, run_training  # noqa: E402
from training.trainer import Trainer, prepare  # noqa: E402
from training.validate import Validation  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "gpt2")


@pytest.fixture
def options(checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    data = str(tiny_dialogues(tmp_path / "data.jsonl", 40))
    return {**SMALL_RUN, "checkpoint": checkpoint, "data": ((data, 1.0),)}


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


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


def test_a_short_run_without_validation_shows_its_losses(
    options: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run_training(out, {**options, "steps": 3}, resume=False, quiet=True)
    assert [entry["step"] for entry in log(out)] == [3]
    assert log(out)[0]["lm"] > 0
    assert (out / "loss.png").exists()


def test_muon_learns_what_the_person_says_too(options: dict[str, Any], tmp_path: Path) -> None:
    given = {**options, "steps": 40, "optimizer": "muon", "person_coef": 0.5, "candidates": 1}
    run_training(tmp_path / "run", given, resume=False, quiet=True)
    losses = [entry["lm"] for entry in log(tmp_path / "run") if "lm" in entry]
    assert losses[-1] < 0.5 * losses[0]


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
    assert {array.dtype.name for array in saved_weights(tmp_path / "run" / "last").values()} == {
        "float32"
    }


@pytest.mark.parametrize("one_task", [{"choice_coef": 0.0}, {"choice_share": 0.0}])
def test_a_head_that_is_not_trained_is_not_saved(
    options: dict[str, Any], tmp_path: Path, one_task: dict[str, Any]
) -> None:
    run_training(tmp_path / "run", {**options, "steps": 1, **one_task}, resume=False, quiet=True)
    assert "choice_head.weight" not in saved_weights(tmp_path / "run" / "last")


def test_copies_along_the_run_stay(options: dict[str, Any], tmp_path: Path) -> None:
    run_training(tmp_path / "run", {**options, "keep_steps": 3}, resume=False, quiet=True)
    kept = sorted((tmp_path / "run" / "steps").iterdir())
    assert [path.name for path in kept] == ["3", "6"]
    name = "transformer.wte.weight"
    assert (saved_weights(kept[0])[name] != saved_weights(kept[1])[name]).any()


def test_steps_are_updates_however_many_batches_they_take(
    options: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run = config_from({**options, "accumulation": 3, "steps": 4, "out": out})
    trainer = prepare(run, resume=False, report=RunReport(out, quiet=True))
    first = trainer.model.wte.embeddings.numpy()
    state = trainer.train()
    assert state.step == int(trainer.optimizer.iterations) == 4
    assert (first != trainer.model.wte.embeddings.numpy()).any()
    saved = json.loads((out / "last" / "state.json").read_text())
    assert (saved["step"], saved["epoch"], saved["batch"]) == (4, 0, 12)


@pytest.mark.parametrize("person_coef", [0.0, 0.3])
def test_several_batches_update_as_one_of_all_their_rows(
    options: dict[str, Any], tmp_path: Path, person_coef: float
) -> None:
    """However many targets and choices each of them has."""
    gradients, losses = [], []
    for rows, accumulation in ((6, 1), (2, 3)):
        changes = {"rows": rows, "accumulation": accumulation, "person_coef": person_coef}
        # TensorFlow's norm of what has gathered is another one than that of a single gradient.
        changes |= {"dropout": 0.0, "clip_norm": 1e9, "steps": 1}
        out = tmp_path / f"{accumulation} batches"
        given = {**options, **changes, "out": out}
        trainer = prepare(config_from(given), resume=False, report=RunReport(out, quiet=True))
        # From the seventh row on, where the first batch of two rows has no choice and others have.
        trainer.state.batch = 6 // rows
        trainer.train()
        losses.append(np.mean([each["loss"] for each in trainer.losses]))
        # What AdamW keeps of them; its step would make rounding errors large.
        gradients.append([variable.numpy() for variable in trainer.optimizer._momentums])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, several in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, several, atol=1e-6)


def test_attention_is_scaled_as_the_checkpoint_says(
    options: dict[str, Any], tmp_path: Path
) -> None:
    given = tiny_checkpoint(tmp_path / "given")
    path = given / "config.json"
    scales = {"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False}
    path.write_text(json.dumps(json.loads(path.read_text()) | scales))
    changes = {"checkpoint": given, "steps": 1}
    run_training(tmp_path / "run", {**options, **changes}, resume=False, quiet=True)
    config = read_checkpoint(tmp_path / "run" / "last").config
    assert (config.scale_by_layer, config.scale_by_head) == (True, False)


def test_a_checkpoint_with_a_head_of_its_own_is_refused(
    options: dict[str, Any], tmp_path: Path
) -> None:
    given = tiny_checkpoint(tmp_path / "given")
    path = given / "model.safetensors"
    saved = load_file(path)
    save_file({**saved, "lm_head.weight": -saved["transformer.wte.weight"]}, path)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight is not wte\.weight"):
        run_training(tmp_path / "run", {**options, "checkpoint": given}, resume=False, quiet=True)


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
    with pytest.raises(RunError, match="lower learning rate"):
        run_training(
            tmp_path / "run",
            {**options, "learning_rate": 1e30, "clip_norm": 1e30},
            resume=False,
            quiet=True,
        )


def test_a_validation_that_is_not_a_number_is_no_best(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"ppl_token": math.nan, "ppl_word": math.nan}
    monkeypatch.setattr(Validation, "figures", lambda self, model: figures)
    validation = tiny_dialogues(tmp_path / "held_out.jsonl", 12)
    given = {**options, "validation": validation}
    with pytest.raises(RunError, match=r"not a number at step 4: .*last holds the state"):
        run_training(tmp_path / "run", given, resume=False, quiet=True)
    assert not (tmp_path / "run" / "best").exists()


def test_out_of_memory_in_a_run_that_goes_on_asks_for_another(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    run_training(tmp_path / "run", {**options, "steps": 1}, resume=False, quiet=True)
    monkeypatch.setattr(Trainer, "_update", full)
    with pytest.raises(RunError, match=r"in another run: --checkpoint .*run/last and another"):
        run_training(tmp_path / "run", {"steps": 2}, resume=True, quiet=True)


@pytest.mark.parametrize(
    ("rows", "less"), [(6, "--rows 3 --accumulation 2, which"), (1, "a shorter --row-length")]
)
def test_out_of_memory_says_what_takes_less(
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    less: str,
) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Trainer, "_update", full)
    with pytest.raises(RunError, match=f"Out of memory with {rows} rows .* try {less}"):
        run_training(tmp_path / "run", {**options, "rows": rows}, resume=False, quiet=True)


def test_a_directory_that_cannot_be_written_is_told_first(
    options: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file: cannot be written \(.*choose another --out"):
        run_training(tmp_path / "file", options, resume=False, quiet=True)


def test_a_full_disk_is_one_line_and_leaves_no_half_checkpoint(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(RunError, match=r"last: the checkpoint cannot be written .*No space left"):
        run_training(tmp_path / "run", options, resume=False, quiet=True)
    assert not (tmp_path / "run" / ".last.new").exists()


def test_a_tokenizer_that_the_disk_does_not_take(checkpoint: Path, tmp_path: Path) -> None:
    tokenizer = read_vocabulary(checkpoint).tokenizer
    with pytest.raises(OSError, match="No space left"):
        write_tokenizer(Path("/dev/full"), tokenizer)
    theirs, ours = tmp_path / "theirs.json", tmp_path / "ours.json"
    tokenizer.save(str(theirs))
    write_tokenizer(ours, tokenizer)
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_start_that_the_disk_does_not_take_is_one_line(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    given = {**options, "checkpoint": "", "size": "1x16x2", "vocabulary": 400}
    with pytest.raises(RunError, match=r"start: cannot be written .*No space left"):
        run_training(tmp_path / "run", given, resume=False, quiet=True)


def test_a_model_of_few_positions_is_validated_without_samples(
    options: dict[str, Any], tmp_path: Path
) -> None:
    validation = tiny_dialogues(tmp_path / "held_out.jsonl", 12)
    sized = {"checkpoint": "", "size": "1x16x2", "vocabulary": 400, "positions": 64}
    given = {**options, **sized, "validation": validation}
    result = run_training(tmp_path / "run", given, resume=False, quiet=True)
    assert result["best"]["ppl_token"] > 1
    assert "**" not in (tmp_path / "run" / "samples.md").read_text()


def test_a_log_that_cannot_be_written_is_one_line(options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run" / "log.jsonl").mkdir(parents=True)
    with pytest.raises(RunError, match=r"log\.jsonl: cannot be written"):
        run_training(tmp_path / "run", options, resume=False, quiet=True)


def test_tensorboard_s_log_that_cannot_be_written_is_one_line(
    options: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "logs").write_text("in the way")
    with pytest.raises(RunError, match="logs: cannot be written") as told:
        run_training(tmp_path / "run", options, resume=False, quiet=True)
    assert "\n" not in str(told.value)


def test_a_checkpoint_that_is_not_there(options: dict[str, Any], tmp_path: Path) -> None:
    given = {**options, "checkpoint": tmp_path / "nowhere"}
    with pytest.raises(CheckpointError, match="nowhere: no such checkpoint directory"):
        run_training(tmp_path / "run", given, resume=False, quiet=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps": 0}, "steps or minutes"),
        ({"data": (), "grammar": 0}, "No data"),
        ({"rows": 0}, "rows must be above 0"),
        ({"max_dialogue": 63}, "max_dialogue must be 64 or more"),
        ({"row_length": 63}, "row_length must be 64 or more"),
        ({"seed": -1}, "seed must be from 0"),
        ({"grammar": -1}, "grammar must be 0 or more"),
        ({"data": (("chitchat", float("inf")),)}, "chitchat=inf: .* a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"minutes": float("inf")}, "minutes must be 0 or more, not inf"),
        ({"evaluate_steps": 0}, "evaluate_steps must be above 0"),
        ({"dropout": 2.0}, "dropout must be from 0 to 1"),
        ({"optimizer": "sgd"}, "optimizer must be one of adamw, muon"),
        ({"precision": "int3"}, "precision must be one of"),
        ({"checkpoint": None}, "Give either checkpoint"),
        ({"patience": 3}, "patience does nothing without validation"),
        ({"natural_case": True}, "natural_case does nothing without size"),
        ({"positions": 64}, "positions does nothing without size"),
        ({"vocabulary": 400}, "vocabulary does nothing without size"),
        ({"characters": 5}, "characters does nothing without grammar"),
        ({"soft_share": 0.5}, "soft_share does nothing without soft_targets"),
        ({"row_length": 1024, "max_dialogue": 1024}, "512 positions"),
    ],
)
def test_options_that_cannot_be(
    options: dict[str, Any], tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RunError, match=reason):
        run_training(tmp_path / "run", {**options, **changes}, resume=False, quiet=True)


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
