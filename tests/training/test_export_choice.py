"""The second head of a checkpoint in its bundle: the same scores as in Keras, used at decoding."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from safetensors.numpy import load_file, save_file

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
pytest.importorskip("keras")
pytest.importorskip("onnx")

from inference.bundle import Bundle, load_bundle
from inference.contest import Contest, Standing
from inference.engine import Delta, Engine, Finished
from inference.errors import BundleError
from inference.params import EngineConfig, SamplingParams
from inference.prompt import PromptRenderer, Turn
from inference.runner import CPU, Device, Runner
from tests.inference.conftest import GPU_GRAPH
from tests.training.keras_scoring import CheckpointScorer
from tests.training.tiny import tiny_checkpoint
from training.export.bundle import ExportOptions, export_bundle
from training.measure.scoring import BundleScorer

PERSONA = ["i have a dog named rex.", "i am a nurse."]
TURNS = [Turn("person", "hi!"), Turn("bot", "hi! how are you?"), Turn("person", "any pets?")]
REPLIES = ["i have a dog.", "no.", "i am a nurse, and i love tea.", "yes, rex.", "how are you?"]


def with_head(directory: Path, width: int = 32, rows: int | None = None) -> Path:
    checkpoint = tiny_checkpoint(directory, width=width)
    path = checkpoint / "model.safetensors"
    head = np.random.default_rng(1).normal(0, 1, (rows or width, 1)).astype(np.float32)
    save_file({**load_file(path), "choice_head.weight": head}, path)
    return checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_head(tmp_path_factory.mktemp("head") / "gpt2")


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("bundle") / "bundle"
    return export_bundle(checkpoint, out, ExportOptions(quantization="none", lower_case=True))


@pytest.fixture(scope="module")
def expected(checkpoint: Path, bundle: Bundle) -> Any:
    scorer = CheckpointScorer(checkpoint, PromptRenderer.from_bundle(bundle))
    scores = scorer.rank(PERSONA, TURNS, REPLIES)
    assert scores.head is not None
    assert np.ptp(scores.head) > 0.1
    return scores


def test_a_bundle_ranks_as_keras_does(bundle: Bundle, expected: Any) -> None:
    found = BundleScorer(bundle, threads=1).rank(PERSONA, TURNS, REPLIES)
    assert found.head is not None
    np.testing.assert_allclose(found.head, expected.head, atol=1e-4)
    np.testing.assert_allclose(found.likelihood, expected.likelihood, atol=1e-4)


@pytest.mark.parametrize(
    ("quantization", "device", "tolerance"),
    [("none", CPU, 1e-4), ("int8", CPU, 0.2), ("none", GPU_GRAPH, 0.02), ("int8", GPU_GRAPH, 0.2)],
)
def test_the_served_graph_scores_as_keras_does(
    checkpoint: Path,
    expected: Any,
    tmp_path: Path,
    quantization: str,
    device: Device,
    tolerance: float,
) -> None:
    options = ExportOptions(quantization=quantization, lower_case=True)
    bundle = export_bundle(checkpoint, tmp_path / "bundle", options)
    renderer = PromptRenderer.from_bundle(bundle)
    runner = Runner(bundle, slots=len(REPLIES), threads=1, device=device)
    lengths = []
    for slot, text in enumerate(REPLIES):
        prompt = renderer.render(PERSONA, TURNS, reserve=20).ids
        reply = renderer.tokenizer.encode(f" {text}").ids
        runner.prefill(slot, [*prompt, *reply], 0)
        lengths.append(len(prompt) + len(reply))
    end = np.full(len(REPLIES), bundle.special_tokens.person)
    runner.decode(end, np.array(lengths))
    scores = runner.choice_scores
    assert scores is not None
    np.testing.assert_allclose(scores, expected.head, atol=tolerance)
    runner.close()


async def test_the_engine_scores_whole_replies(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each candidate was scored is what a fresh run of prompt, reply and end scores."""
    entered: list[tuple[list[int], float | None]] = []
    enter = Contest.enter

    def note(self: Contest, number: int, tokens: Any, standing: Standing) -> bool:
        entered.append((list(tokens), standing.choice))
        return enter(self, number, tokens, standing)

    monkeypatch.setattr(Contest, "enter", note)
    engine = Engine(EngineConfig(bundle.path, max_batch=8, threads=1))
    params = SamplingParams(max_tokens=6, temperature=1.5, top_k=64, seed=1, candidates=8)
    events = [event async for event in engine.generate(PERSONA, TURNS, params)]
    assert [type(event) for event in events] == [Delta, Finished]
    prompt = PromptRenderer.from_bundle(bundle).render(PERSONA, TURNS, reserve=7).ids
    runner = Runner(bundle, slots=1, threads=1)
    assert len(entered) == 8
    assert runner.choice_scores is not None
    for tokens, choice in entered:
        said = [*prompt, *tokens]
        runner.prefill(0, said, 0)
        runner.decode(np.array([bundle.special_tokens.person]), np.array([len(said)]))
        assert choice == pytest.approx(float(runner.choice_scores[0]), abs=1e-4)
    runner.close()
    again = [event async for event in engine.generate(PERSONA, TURNS, params)]
    assert again[0] == events[0]
    one = [e async for e in engine.generate(PERSONA, TURNS, replace(params, candidates=1))]
    assert isinstance(one[-1], Finished)
    engine.close()


def test_the_manifest_says_whether_there_is_a_head(bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.choice_head
    plain = tiny_checkpoint(tmp_path / "plain")
    without = export_bundle(plain, tmp_path / "without", ExportOptions())
    assert not without.choice_head
    assert "choice_head" not in json.loads((without.path / "bundle.json").read_text())
    runner = Runner(without, slots=1, threads=1)
    runner.prefill(0, [1, 2], 0)
    assert runner.choice_scores is None
    runner.close()


def test_an_untrained_head_can_be_left_out(checkpoint: Path, tmp_path: Path) -> None:
    """Then all is as if there had never been one."""
    plain = export_bundle(tiny_checkpoint(tmp_path / "gpt2"), tmp_path / "plain", ExportOptions())
    out = tmp_path / "bundle"
    call_command(
        *["export_bundle", "--checkpoint", str(checkpoint), "--out", str(out), "--no-choice-head"]
    )
    found = load_bundle(out)
    assert not found.choice_head
    for name in ("model.onnx", "score.onnx", "model.onnx.data"):
        assert found.files[name] == plain.files[name], name


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    odd = with_head(tmp_path / "odd", rows=16)
    with pytest.raises(CommandError, match=r"choice_head\.weight has shape \(16, 1\)"):
        call_command("export_bundle", "--checkpoint", str(odd), "--out", str(tmp_path / "out"))


def test_a_manifest_that_promises_a_head_is_held_to_it(tmp_path: Path) -> None:
    plain = export_bundle(tiny_checkpoint(tmp_path / "gpt2"), tmp_path / "out", ExportOptions())
    path = plain.path / "bundle.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "choice_head": True}))
    with pytest.raises(BundleError, match=r"is no model of the shape and kind .*choice_score"):
        Runner(load_bundle(plain.path), slots=1, threads=1)
    path.write_text(json.dumps({**manifest, "choice_head": "yes"}))
    with pytest.raises(BundleError, match="choice_head: must be true or false"):
        load_bundle(plain.path)
