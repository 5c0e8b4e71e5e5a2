"""Checkpoints of every kind become bundles, or are refused with one clear line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from django.core.management import CommandError, call_command
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, normalizers

from inference.agreement import check_agreement
from inference.bundle import Bundle, load_bundle
from inference.errors import BundleError
from inference.prompt import PromptRenderer
from inference.runner import Runner
from tests.inference.conftest import GPU_GRAPH
from tests.training.tiny import into_shards, tiny_checkpoint
from training.checkpoints.directory import read_checkpoint
from training.checkpoints.vocabulary import fit_embeddings, read_vocabulary

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As from the Hub: `<|endoftext|>` is the only special token."""
    return tiny_checkpoint(tmp_path_factory.mktemp("plain") / "tiny")


@pytest.fixture
def checkpoint(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "checkpoint"))


def export(checkpoint: Path, *options: object) -> Bundle:
    out = checkpoint.parent / "bundle"
    call_command(
        "export_bundle", "--checkpoint", str(checkpoint), "--out", str(out), *map(str, options)
    )
    return load_bundle(out)


def logits(bundle: Bundle, ids: list[int]) -> tuple[Any, Any]:
    runner = Runner(bundle, slots=1, threads=1)
    values, tokens = runner.prefill(0, ids, 0)
    result = values.copy(), tokens.copy()
    runner.close()
    return result


def rewrite(checkpoint: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    save_file(change(weights) or weights, path)


def configure(checkpoint: Path, **changes: object) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def facts(checkpoint: Path, **values: object) -> None:
    (checkpoint / "chatbot.json").write_text(json.dumps(values))


@pytest.mark.parametrize("quantization", ["int8", "int4", "none"])
def test_missing_special_tokens_are_added(
    checkpoint: Path, quantization: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
    bundle = export(checkpoint, "--quantization", quantization)
    assert "<persona>, <person>, <bot>" in capsys.readouterr().out
    assert bundle.source["added_special_tokens"] == ["<persona>", "<person>", "<bot>"]
    assert bundle.vocab_size == rows + 3
    special = bundle.special_tokens
    assert {special.persona, special.person, special.bot} == {rows, rows + 1, rows + 2}
    assert bundle.quantization == quantization
    renderer = PromptRenderer.from_bundle(bundle)
    assert renderer.tokenizer.id_to_token(special.bot) == "<bot>"
    values, tokens = logits(bundle, [special.end, special.persona, 40, special.person, 41])
    assert np.isfinite(values).all()
    assert tokens.max() < bundle.vocab_size
    call_command("check_bundle", str(bundle.path))


@pytest.mark.parametrize("quantization", ["int8", "none"])
def test_there_is_a_graph_for_gpus(checkpoint: Path, quantization: str) -> None:
    bundle = export(checkpoint, "--quantization", quantization)
    runner = Runner(bundle, slots=2, threads=1, device=GPU_GRAPH)
    check_agreement(runner, bundle, threads=1)
    runner.close()


def test_of_four_bits_there_is_none(checkpoint: Path) -> None:
    bundle = export(checkpoint, "--quantization", "int4")
    with pytest.raises(BundleError, match=r"has no gpu\.onnx.*int8 or unquantised"):
        Runner(bundle, slots=2, threads=1, device=GPU_GRAPH)


def test_an_added_token_starts_as_the_mean_of_the_others(checkpoint: Path) -> None:
    bundle = export(checkpoint, "--quantization", "none")
    table = load_file(checkpoint / "model.safetensors")["transformer.wte.weight"]
    rows = len(table)
    expected = checkpoint.parent / "by_hand"
    shutil.copytree(checkpoint, expected)
    rewrite(
        expected,
        lambda w: w.update(
            {"transformer.wte.weight": np.vstack([table, np.tile(table.mean(axis=0), (3, 1))])}
        ),
    )
    configure(expected, vocab_size=rows + 3)
    shutil.copy(bundle.tokenizer_path, expected / "tokenizer.json")
    out = checkpoint.parent / "expected"
    call_command(
        *["export_bundle", "--checkpoint", str(expected), "--out", str(out)],
        *["--quantization", "none"],
    )
    ids = [3, rows, 5, rows + 2]
    values, tokens = logits(bundle, ids)
    wanted, wanted_tokens = logits(load_bundle(out), ids)
    np.testing.assert_allclose(values, wanted, atol=1e-5)
    assert (tokens == wanted_tokens).mean() > 0.9


def test_exporting_twice_gives_the_same_files(checkpoint: Path) -> None:
    first = export(checkpoint)
    second = export(checkpoint, "--overwrite")
    assert first.files == second.files


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_weights_without_prefix(checkpoint: Path, dtype: Any) -> None:
    """The same numbers, whatever type and names they are stored with."""

    def rounded(weights: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor.astype(dtype) for name, tensor in weights.items()}

    rewrite(checkpoint, lambda w: {k: v.astype(np.float32) for k, v in rounded(w).items()})
    wanted = logits(export(checkpoint, "--quantization", "none"), [1, 2, 3])
    rewrite(
        checkpoint,
        lambda w: {k.removeprefix("transformer."): v for k, v in rounded(w).items()},
    )
    found = logits(export(checkpoint, "--quantization", "none", "--overwrite"), [1, 2, 3])
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])


def test_vocab_json_and_merges_txt_instead_of_tokenizer_json(checkpoint: Path) -> None:
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.model.save(str(checkpoint))
    (checkpoint / "tokenizer.json").unlink()
    renderer = PromptRenderer.from_bundle(export(checkpoint))
    text = " I have a dog named Rex!"
    assert renderer.tokenizer.encode(text).ids == tokenizer.encode(text).ids
    assert renderer.tokenizer.decode(tokenizer.encode(text).ids) == text


def as_slow_tokenizer(checkpoint: Path, **added: object) -> None:
    """The layout of transformers' GPT2Tokenizer, with added tokens in a file of their own."""
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.model.save(str(checkpoint))
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "added_tokens.json").write_text(json.dumps(added))


def test_added_tokens_keep_their_ids_and_their_rows(checkpoint: Path) -> None:
    rows = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
    wanted = {"<bot>": rows + 2, "[NAME]": rows, "<person>": rows + 1}
    as_slow_tokenizer(checkpoint, **wanted)
    for _ in wanted:
        rewrite(checkpoint, add_row)
    configure(checkpoint, vocab_size=rows + 3)
    table = load_file(checkpoint / "model.safetensors")["transformer.wte.weight"]
    bundle = export(checkpoint, "--quantization", "none")
    assert bundle.source["added_special_tokens"] == ["<persona>"]
    special = bundle.special_tokens
    assert (special.persona, special.person, special.bot) == (rows + 3, rows + 1, rows + 2)
    renderer = PromptRenderer.from_bundle(bundle)
    assert {token: renderer.tokenizer.token_to_id(token) for token in wanted} == wanted
    assert rows in renderer.tokenizer.encode("i am [NAME]").ids
    assert rows + 2 not in renderer.tokenizer.encode("i am <bot>").ids
    fitted = fit_embeddings(read_checkpoint(checkpoint), read_vocabulary(checkpoint))
    np.testing.assert_array_equal(fitted.weights["wte.weight"][: rows + 3], table)


def test_weights_in_several_files_are_the_same_weights(checkpoint: Path) -> None:
    whole = read_checkpoint(checkpoint).weights
    shards = read_checkpoint(into_shards(checkpoint)).weights
    assert whole.keys() == shards.keys()
    assert all(np.array_equal(whole[name], shards[name]) for name in whole)
    assert np.isfinite(logits(export(checkpoint), [1, 2, 3])[0]).all()


def test_case_is_read_off_the_vocabulary_or_given(checkpoint: Path) -> None:
    assert export(checkpoint).prompt.options["lowercase"] is True
    assert export(checkpoint, "--natural-case", "--overwrite").prompt.options["lowercase"] is False
    facts(checkpoint, prompt={"options": {"lowercase": False}})
    assert export(checkpoint, "--overwrite").prompt.options["lowercase"] is False
    assert export(checkpoint, "--lowercase", "--overwrite").prompt.options["lowercase"] is True
    (checkpoint / "chatbot.json").unlink()
    path = checkpoint / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["Hello"] = len(content["model"]["vocab"])
    path.write_text(json.dumps(content))
    configure(checkpoint, vocab_size=len(content["model"]["vocab"]))
    rewrite(checkpoint, add_row)
    assert export(checkpoint, "--overwrite").prompt.options["lowercase"] is False
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(path))
    assert export(checkpoint, "--overwrite").prompt.options["lowercase"] is True


def add_row(weights: dict[str, Any]) -> None:
    table = weights["transformer.wte.weight"]
    weights["transformer.wte.weight"] = np.vstack([table, table[:1]])


def test_facts_beside_the_weights_reach_the_bundle(checkpoint: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "name": "tea-lover",
        "sampling": {"top_k": 10, "temperature": 0.7},
        "metrics": {"ppl_token": 12.5},
        "source": {"data": "teas"},
    }
    facts(checkpoint, **given)
    card = tmp_path / "card.md"
    card.write_text("Made from teas, under a licence.")
    bundle = export(checkpoint, "--card", card)
    assert bundle.name == "tea-lover"
    assert bundle.sampling == given["sampling"]
    assert bundle.metrics == given["metrics"]
    assert bundle.source["data"] == "teas"
    text = (bundle.path / "README.md").read_text()
    assert "Made from teas, under a licence." in text
    assert "12.5" in text


def test_a_head_of_its_own_is_used(checkpoint: Path) -> None:
    def negative_head(weights: dict[str, Any]) -> None:
        weights["lm_head.weight"] = -weights["transformer.wte.weight"]

    tied = logits(export(checkpoint, "--quantization", "none"), [1, 2, 3])
    rewrite(checkpoint, negative_head)
    untied = logits(export(checkpoint, "--quantization", "none", "--overwrite"), [1, 2, 3])
    assert tied[1][0, 0] not in untied[1][0, :8]
    close = logits(export(checkpoint, "--overwrite"), [1, 2, 3])
    np.testing.assert_allclose(close[0], untied[0], atol=0.1)


def test_int8_stands_outlier_channels(checkpoint: Path) -> None:
    """Equal functions, one with channels thirty times the others, lose about as little."""
    plain = logits(export(checkpoint, "--quantization", "none"), [1, 2, 3, 4])

    def spread(weights: dict[str, Any]) -> None:
        for norm, fed in (("ln_1", "attn.c_attn"), ("ln_2", "mlp.c_fc")):
            name = f"transformer.h.0.{norm}"
            for part in ("weight", "bias"):
                weights[f"{name}.{part}"][:3] *= 30
            weights[f"transformer.h.0.{fed}.weight"][:3] /= 30

    rewrite(checkpoint, spread)
    found = logits(export(checkpoint, "--overwrite"), [1, 2, 3, 4])
    np.testing.assert_allclose(found[0], plain[0], atol=0.05)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda c: configure(c, model_type="llama"), "model_type is 'llama'; only gpt2"),
        (lambda c: configure(c, activation_function="relu"), "activation_function 'relu'"),
        (lambda c: configure(c, n_layer="two"), "n_layer must be a positive whole number"),
        (lambda c: configure(c, n_head=3), "n_embd 32 cannot be divided by n_head 3"),
        (lambda c: configure(c, n_head=8), r"n_embd 32 / n_head 8 makes heads of 4"),
        (lambda c: configure(c, layer_norm_epsilon=None), "layer_norm_epsilon must be .*None"),
        (lambda c: configure(c, layer_norm_epsilon=-1), "layer_norm_epsilon must be .*-1"),
        (lambda c: configure(c, vocab_size=7), r"wte\.weight has shape .* says \(7, 32\)"),
        (lambda c: (c / "config.json").write_text("{"), r"config\.json: not valid JSON"),
        (lambda c: (c / "config.json").unlink(), r"config\.json: cannot be read"),
        (lambda c: (c / "model.safetensors").unlink(), r"model\.safetensors: missing"),
        (lambda c: (c / "model.safetensors").write_bytes(b"x" * 64), "not a readable safetensors"),
        (
            lambda c: rewrite(c, lambda w: w.pop("transformer.h.1.mlp.c_fc.bias")[:0].size),
            r"tensor h\.1\.mlp\.c_fc\.bias \(128,\) is missing",
        ),
        (
            lambda c: rewrite(c, lambda w: w["transformer.ln_f.bias"].fill(np.nan)),
            r"tensor ln_f\.bias holds values that are not finite",
        ),
        (
            lambda c: next(into_shards(c).glob("model-00002*")).unlink(),
            r"index\.json: names model-00002-of-00002\.safetensors, which is not beside it",
        ),
        (
            lambda c: (into_shards(c) / "model.safetensors.index.json").write_text("{}"),
            r"index\.json: weight_map must say which tensor",
        ),
        (
            lambda c: next(into_shards(c).glob("model-00001*")).write_bytes(b"x" * 64),
            r"model-00001-of-00002\.safetensors: not a readable safetensors",
        ),
        (lambda c: (c / "tokenizer.json").unlink(), "no tokenizer: neither"),
        (
            lambda c: as_slow_tokenizer(c, **{"[NAME]": 9999}),
            r"added_tokens\.json: '\[NAME\]' has the id 9999 where \d+ comes next",
        ),
        (
            lambda c: as_slow_tokenizer(c, **{"[NAME]": "9999"}),
            r"added_tokens\.json: every token must have a whole number",
        ),
        (lambda c: (c / "tokenizer.json").write_text("{}"), "not a readable tokenizer"),
        (
            lambda c: (c / "tokenizer.json").write_text(
                (c / "tokenizer.json").read_text().replace("<|endoftext|>", "<|stop|>")
            ),
            r"has no <\|endoftext\|>",
        ),
        (
            lambda c: (c / "tokenizer.json").write_text(
                (c / "tokenizer.json").read_text().replace('"\u0120', '"\u2581')
            ),
            r"checkpoint: The tokenizer is not a byte-level BPE: it has '\u2581",
        ),
        (
            lambda c: (c / "chatbot.json").write_text('{"colour": "red"}'),
            "unknown field colour",
        ),
        (lambda c: (c / "chatbot.json").write_text('{"name": 3}'), "name must be a"),
        (lambda c: facts(c, prompt={"options": 5}), "options must be an object, not 5"),
        (lambda c: facts(c, prompt={"options": {"windw": 64}}), "windw is not known"),
        (
            lambda c: facts(c, prompt={"options": {"window": 32}}),
            r"/bundle: prompt\.options\.window: must be a whole number from 64",
        ),
        (
            lambda c: facts(c, prompt={"options": {"window": 9999}}),
            r"/bundle: prompt\.options\.window: must be a whole number from 64",
        ),
        (lambda c: facts(c, sampling={"temperature": "hot"}), "temperature must be a number"),
        (
            lambda c: facts(c, sampling={"temperature": -1}),
            r"/bundle/bundle\.json: sampling: temperature must be a number from 0 to 5",
        ),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    checkpoint: Path, damage: Callable[[Path], object], reason: str
) -> None:
    damage(checkpoint)
    with pytest.raises(CommandError, match=reason) as refusal:
        export(checkpoint)
    assert len(str(refusal.value).splitlines()) == 1
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == ["checkpoint"]


def test_what_cannot_be_served_replaces_nothing(checkpoint: Path) -> None:
    before = export(checkpoint)
    facts(checkpoint, sampling={"top_k": 0})
    with pytest.raises(CommandError, match="top_k must be"):
        export(checkpoint, "--overwrite")
    assert load_bundle(before.path).files == before.files
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == ["bundle", "checkpoint"]


def test_no_room_for_temporary_files_is_one_line(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(checkpoint / "nowhere"))
    with pytest.raises(CommandError, match=r"temporary file .*set TMPDIR"):
        export(checkpoint)


def test_a_bundle_is_replaced_only_when_asked_to(checkpoint: Path) -> None:
    export(checkpoint)
    with pytest.raises(CommandError, match="--overwrite replaces it"):
        export(checkpoint)
    (checkpoint.parent / "bundle" / "bundle.json").unlink()
    with pytest.raises(CommandError, match="exists and is not a bundle"):
        export(checkpoint, "--overwrite")


def test_a_missing_package_is_named(checkpoint: Path) -> None:
    """A server has no onnx; the command says what is missing."""
    script = (
        "import sys; sys.modules['onnx'] = None; import django.core.management as m; "
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'chatbot_site.settings'; "
        f"sys.argv = ['manage.py', 'export_bundle', '--checkpoint', {str(checkpoint)!r}, "
        f"'--out', {str(checkpoint.parent / 'bundle')!r}]; m.execute_from_command_line(sys.argv)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "onnx is missing; requirements.txt has what export needs" in done.stderr
    assert "Traceback" not in done.stderr
