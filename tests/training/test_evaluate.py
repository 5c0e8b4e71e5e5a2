"""Figures mean what they say, for a checkpoint and for its bundle."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings
from safetensors.numpy import load_file, save_file

from inference.prompt import Turn, texts_of
from tests.training.tiny import dialogue_row, tiny_checkpoint, tiny_dialogues, write_rows
from training.measure import metrics
from training.measure.consistency import persona_questions, reaction_messages, shares
from training.measure.figures import perplexity, read_evaluation_data, worse
from training.measure.scoring import BundleScorer, ReplyNats


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "gpt2")


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    from training.export.bundle import ExportOptions, export_bundle

    out = tmp_path_factory.mktemp("bundle") / "bundle"
    export_bundle(checkpoint, out, ExportOptions(quantization="none", lower_case=True))
    return out


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_dialogues(tmp_path / "dev.jsonl", 16)


def evaluate(*options: object) -> dict[str, float]:
    out = StringIO()
    call_command("evaluate", *map(str, options), "--json", stdout=out)
    figures: dict[str, float] = json.loads(out.getvalue().splitlines()[-1])
    return figures


@pytest.mark.parametrize(
    ("reply", "truth", "expected"),
    [
        ("I have the dog!", "i have a dog", 1.0),
        ("yes", "no", 0.0),
        ("i like tea", "i like coffee", 2 / 3),
        ("", "anything", 0.0),
        # Punctuation is a space, as in ParlAI's normalize_answer.
        ("I'm well-known", "i m well known", 1.0),
        ("i'm fine", "i am fine", 2 / 3),
    ],
)
def test_f1_is_convai2_s(reply: str, truth: str, expected: float) -> None:
    assert metrics.f1(reply, truth) == pytest.approx(expected)


def test_distinct_is_different_n_grams_over_all_tokens() -> None:
    assert metrics.distinct(["i like tea", "I like tea"], 1) == 3 / 6
    assert metrics.distinct(["i like tea", "i like tea"], 2) == 2 / 6
    assert metrics.distinct(["one two three", "four five"], 2) == 3 / 5
    # Articles and punctuation marks are tokens; a word keeps its apostrophe.
    assert metrics.distinct(["the tea.", "a tea."], 1) == 4 / 6
    assert metrics.distinct(["i'm here, i'm here"], 1) == 3 / 5
    assert metrics.distinct([], 2) == 0.0


def test_repetition_within_and_across_turns() -> None:
    assert metrics.repeats_within("i like my dog and i like my dog")
    assert not metrics.repeats_within("i like my dog and my cat")
    assert metrics.repeats_across("I like my old dog.", ["Hello.", "i like my old dog !"])
    assert not metrics.repeats_across("I like my old dog.", ["I have a cat at home."])
    assert metrics.repeats_across("I'm the nurse in Dublin.", ["im a nurse in dublin"])
    # A short answer may come back.
    assert not metrics.repeats_across("yes, i do.", ["yes, i do."])


def test_persona_lines_taken_over_word_for_word() -> None:
    persona = ["I work as a nurse in Dublin."]
    assert metrics.copies_persona("well, i work as a nurse in dublin", persona)
    assert not metrics.copies_persona("i am a nurse", persona)


def test_a_true_and_a_false_answer_are_told_apart() -> None:
    question = next(q for q in persona_questions() if q.ask == "do you have any pets?")
    assert question.judge("Yes, two dogs!") == "consistent"
    assert question.judge("No, I do not.") == "contradiction"
    assert question.judge("I like tea.") == "neutral"
    assert shares([question] * 4, ["two dogs", "no", "no", "tea"]) == {
        "persona_consistent": 0.25,
        "persona_contradiction": 0.5,
    }


def test_a_reply_takes_up_what_was_said_or_misses_the_point() -> None:
    message = next(told for told in reaction_messages() if told.ask == "my dog died yesterday.")
    assert message.judge("Oh no, I am so sorry.") == "consistent"
    assert message.judge("That is great! I am sorry.") == "contradiction"
    assert message.judge("What do you do for a living?") == "neutral"


def test_the_gate_names_what_is_worse() -> None:
    live = {"ppl_word": 50.0, "f1": 0.2}
    assert worse({"ppl_word": 50.5, "f1": 0.2}, live, {}) == []
    assert worse({"ppl_word": 60.0, "f1": 0.1}, live, {}) == [
        "ppl_word is 60, the live bundle's 50",
        "f1 is 0.1, the live bundle's 0.2",
    ]


def test_the_gate_does_not_take_chance_for_a_worse_model() -> None:
    live = {"reactions_unfitting": 0.0, "persona_consistent": 0.9}
    ours = {"reactions_unfitting": 1 / 48, "persona_consistent": 0.86}
    assert worse(ours, live, {"reactions_unfitting": 48, "persona_consistent": 200}) == []
    # What happens so much oftener is not chance.
    assert len(worse(ours, live, {"reactions_unfitting": 4800, "persona_consistent": 20_000})) == 2


def test_wrong_replies_of_the_file_are_ranked(bundle: Path, tmp_path: Path) -> None:
    wrong = [f"i have {number} tea" for number in range(19)]
    said = {"history": ["hi !"], "candidates": [*wrong, "i have a dog"]}
    valid = [{"personality": ["i have a dog ."], "utterances": [said]}]
    data = tmp_path / "personachat.json"
    data.write_text(json.dumps({"train": [], "valid": valid}))
    figures = evaluate("--bundle", bundle, "--data", data, "--chats", 0)
    assert figures["hits_at_1_of_20"] in {0, 1}
    assert figures["n"] == 1


def test_who_opens_in_personachat_is_measured_with_its_persona(
    bundle: Path, tmp_path: Path
) -> None:
    wrong = [f"i have {number} tea" for number in range(19)]
    said = {"history": ["__ SILENCE __"], "candidates": [*wrong, "i have a dog"]}
    again = {"history": ["__ SILENCE __", "i have a dog", "ok"], "candidates": [*wrong, "bye now"]}
    data = tmp_path / "personachat.json"
    valid = [{"personality": ["i love tea ."], "utterances": [said, again]}]
    data.write_text(json.dumps({"train": [], "valid": valid}))
    asked: list[tuple[Sequence[str], list[str]]] = []

    class Listener(BundleScorer):
        def __init__(self) -> None:
            """Without a bundle."""

        def reply_nats(self, persona: Sequence[str], turns: Sequence[Turn]) -> ReplyNats:
            asked.append((persona, texts_of("bot", turns)))
            return ReplyNats(1.0, 1, 1)

    perplexity(Listener(), read_evaluation_data(data, 0, print))
    assert asked == [(("i love tea .",), ["i have a dog", "bye now"])]
    # One dialogue alone has no wrong replies but its own.
    assert "f1" in evaluate("--bundle", bundle, "--data", data, "--chats", 0)


def test_damaged_lines_are_told(bundle: Path, data: Path) -> None:
    with data.open("a") as file:
        file.write("{no dialogue\n")
    out, err = StringIO(), StringIO()
    options = ("--bundle", str(bundle), "--data", str(data), "--replies", "0", "--chats", "0")
    call_command("evaluate", *options, "--json", stdout=out, stderr=err)
    assert "1 damaged lines skipped (line 17: " in err.getvalue()
    assert json.loads(out.getvalue())["n"] == 16


def test_replies_longer_than_the_context_harm_nothing(
    bundle: Path, checkpoint: Path, tmp_path: Path
) -> None:
    rows = [dialogue_row(turns=["hi!", f"i have {n} dog."]) for n in range(20)]
    endless = dialogue_row(turns=["hi!", "i have a dog . " * 200])
    data = write_rows(tmp_path / "dev.jsonl", rows)
    more = write_rows(tmp_path / "more.jsonl", [*rows, endless])
    for model in (("--bundle", bundle), ("--checkpoint", checkpoint)):
        options = (*model, "--replies", 21, "--chats", 0)
        short, long = (evaluate("--data", path, *options) for path in (data, more))
        assert short["ppl_word"] == pytest.approx(long["ppl_word"])
        assert "f1" in long


def test_a_persona_too_long_for_the_model_is_left_out(
    bundle: Path, checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    endless = dialogue_row(personas=[[], ["i have a dog . " * 200]])
    more = write_rows(tmp_path / "more.jsonl", [rows[0], endless, *rows[1:]])
    speed = {"tokens_per_second"}
    for model in (("--bundle", bundle), ("--checkpoint", checkpoint)):
        options = (*model, "--replies", 2, "--chats", 0)
        ours, theirs = (evaluate("--data", path, *options) for path in (data, more))
        assert theirs.pop("left_out") == 1
        assert ours.keys() == theirs.keys()
        assert all(ours[name] == pytest.approx(theirs[name]) for name in ours.keys() - speed)
    out, err = StringIO(), StringIO()
    few = ("--bundle", str(bundle), "--data", str(more), "--replies", "0", "--chats", "0")
    call_command("evaluate", *few, stdout=out, stderr=err)
    assert "more.jsonl: 1 dialogues left out" in err.getvalue()
    assert "number 2)" in err.getvalue()
    assert "left_out" in out.getvalue()
    with pytest.raises(CommandError, match=r"more\.jsonl: every persona is too long"):
        evaluate("--bundle", bundle, "--data", write_rows(more, [endless]))


def test_numbers_below_nothing_and_files_that_cannot_be(bundle: Path, data: Path) -> None:
    options = ("--bundle", str(bundle), "--data", str(data), "--replies", "0", "--chats", "0")
    with pytest.raises(CommandError, match="'-1' is not a number from 0 up"):
        evaluate(*options, "--limit=-1")
    out = StringIO()
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("evaluate", *options, "--samples", str(data / "x.md"), stdout=out)
    assert "ppl_word" in out.getvalue()


def test_what_is_neither_a_bundle_nor_a_checkpoint_is_told(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="neither a bundle nor a checkpoint"):
        evaluate("--checkpoint", tmp_path / "nowhere", "--data", data)


def test_a_checkpoint_is_measured_without_keras(
    checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("keras", "keras_hub", "tensorflow"):
        monkeypatch.setitem(sys.modules, package, None)
    figures = evaluate("--checkpoint", checkpoint, "--data", data, "--replies", 0, "--chats", 0)
    assert figures["ppl_token"] > 1


def test_a_checkpoint_is_measured_as_its_bundle_will_be(checkpoint: Path, tmp_path: Path) -> None:
    given = Path(shutil.copytree(checkpoint, tmp_path / "given"))
    options = {"lowercase": True, "window": 64}
    sampling = {"temperature": 0, "max_tokens": 6, "candidates": 2}
    facts = {"prompt": {"options": options}, "sampling": sampling}
    (given / "chatbot.json").write_text(json.dumps(facts))
    bundle = tmp_path / "bundle"
    named = ("--checkpoint", str(given), "--out", str(bundle), "--quantization", "none")
    call_command("export_bundle", *named)
    asked = ("--data", tiny_dialogues(tmp_path / "dev.jsonl", 16), "--chats", 2)
    ours = evaluate("--bundle", bundle, *asked)
    theirs = evaluate("--checkpoint", given, *asked)
    speed = {"tokens_per_second"}
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - speed:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3), name


def test_a_bundle_and_its_checkpoint_have_the_same_figures(
    bundle: Path, checkpoint: Path, data: Path
) -> None:
    options = ("--data", data, "--replies", 4, "--chats", 2)
    ours = evaluate("--bundle", bundle, *options)
    theirs = evaluate("--checkpoint", checkpoint, *options)
    assert {"ppl_token", "ppl_word", "hits_at_1_of_20", "f1", "distinct_1", "distinct_2", "n"} <= (
        ours.keys()
    )
    assert ours["n"] == 16
    for name in ("ppl_token", "ppl_word", "hits_at_1_of_20", "f1", "distinct_2"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3), name
    # 400 tokens and nothing learnt: every one is about as likely.
    assert 100 < ours["ppl_token"] < 1000


@pytest.mark.parametrize(
    "scales", [{"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False}]
)
def test_attention_is_scaled_as_the_checkpoint_says(
    checkpoint: Path, data: Path, tmp_path: Path, scales: dict[str, bool]
) -> None:
    given = Path(shutil.copytree(checkpoint, tmp_path / "given"))
    path = given / "model.safetensors"
    # Attention that is nearly even would not show how it is scaled.
    save_file({n: 8 * w if "c_attn.w" in n else w for n, w in load_file(path).items()}, path)
    options = ("--data", data, "--replies", 0, "--chats", 0)
    plain = evaluate("--checkpoint", given, *options)["ppl_token"]
    config = given / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | scales))
    bundle = tmp_path / "bundle"
    named = ("--checkpoint", str(given), "--out", str(bundle), "--quantization", "none")
    call_command("export_bundle", *named)
    served = evaluate("--bundle", bundle, *options)["ppl_token"]
    assert evaluate("--checkpoint", given, *options)["ppl_token"] == pytest.approx(served, rel=1e-4)
    assert plain != pytest.approx(served, rel=1e-3)


def test_a_checkpoint_with_a_head_of_its_own_is_measured_with_it(
    checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    given = Path(shutil.copytree(checkpoint, tmp_path / "given"))
    path = given / "model.safetensors"
    weights = load_file(path)
    table = weights["transformer.wte.weight"]
    options = ("--checkpoint", given, "--data", data, "--replies", 0, "--chats", 0)
    # A copy of the table is what some checkpoints carry along.
    save_file({**weights, "lm_head.weight": table}, path)
    tied = evaluate(*options)["ppl_token"]
    save_file({**weights, "lm_head.weight": -table}, path)
    bundle = tmp_path / "bundle"
    named = ("--checkpoint", str(given), "--out", str(bundle), "--quantization", "none")
    call_command("export_bundle", *named)
    served = evaluate("--bundle", bundle, *options[2:])["ppl_token"]
    assert evaluate(*options)["ppl_token"] == pytest.approx(served, rel=1e-4)
    assert tied != pytest.approx(served, rel=1e-3)


def test_perplexity_is_that_of_what_a_conversation_s_window_shows(
    checkpoint: Path, tmp_path: Path
) -> None:
    turns = [f"i have {number} dogs named rex" for number in range(24)]
    dialogue = {"source": "t", "personas": [["i love tea"], ["i am nurse"]], "turns": turns}
    data = tmp_path / "long.jsonl"
    data.write_text(json.dumps(dialogue))
    figures = []
    for window in (64, 512):
        given = Path(shutil.copytree(checkpoint, tmp_path / f"window {window}"))
        facts = {"prompt": {"options": {"window": window}}}
        (given / "chatbot.json").write_text(json.dumps(facts))
        bundle = tmp_path / f"bundle {window}"
        named = ("--checkpoint", str(given), "--out", str(bundle), "--quantization", "none")
        call_command("export_bundle", *named, "--lowercase")
        options = ("--data", data, "--replies", 0, "--chats", 0)
        figures.append(evaluate("--bundle", bundle, *options)["ppl_token"])
        assert evaluate("--checkpoint", given, *options)["ppl_token"] == pytest.approx(
            figures[-1], rel=1e-3
        )
    assert figures[0] != pytest.approx(figures[1], rel=1e-3)


def test_a_table_and_samples_for_people(bundle: Path, data: Path, tmp_path: Path) -> None:
    out = StringIO()
    call_command(
        "evaluate",
        "--bundle", str(bundle), "--data", str(data), "--replies", "1", "--chats", "1",
        "--limit", "16", "--samples", str(tmp_path / "samples.md"),
        stdout=out,
    )  # fmt: skip
    assert "ppl_word" in out.getvalue()
    assert "persona_consistent" in out.getvalue()
    assert "reactions_fitting" in out.getvalue()
    samples = (tmp_path / "samples.md").read_text()
    assert "**do you have any pets?**" in samples
    assert "**my dog died yesterday.**" in samples
    assert "> A: hi!" in samples


def test_what_cannot_be_measured_is_one_line(bundle: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="neither a bundle nor a checkpoint"):
        evaluate("--checkpoint", tmp_path, "--data", data)
    with pytest.raises(CommandError, match="No such file"):
        evaluate("--bundle", bundle, "--data", tmp_path / "none.jsonl")
    (bundle / "score.onnx").rename(bundle / "score.away")
    try:
        with pytest.raises(CommandError, match=r"score\.onnx"):
            evaluate("--bundle", bundle, "--data", data)
    finally:
        (bundle / "score.away").rename(bundle / "score.onnx")


def test_a_bundle_is_measured_with_what_a_server_has(bundle: Path, data: Path) -> None:
    program = f"""
import sys
for name in ("tensorflow", "keras", "keras_hub", "transformers", "onnx", "safetensors"):
    sys.modules[name] = None
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "evaluate", "--bundle", {str(bundle)!r},
    "--data", {str(data)!r}, "--replies", "1", "--chats", "0", "--json"])
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "chatbot_site.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["n"] == 16


def test_the_gate_fails_for_a_worse_bundle(
    bundle: Path, data: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"bundle": bundle})
    options = ("--data", data, "--replies", 1, "--chats", 0, "--gate")
    evaluate("--bundle", bundle, *options)
    monkeypatch.setattr("training.measure.evaluation.worse", lambda *figures: ["f1 is 0"])
    with pytest.raises(CommandError, match="Worse than the live bundle: f1 is 0"):
        evaluate("--bundle", bundle, *options)


def test_perplexity_of_words_without_white_space_between_them() -> None:
    """A whole Chinese turn is one word; exp of its nats is more than a number holds."""
    assert metrics.perplexity(6.0, 3) == pytest.approx(math.exp(2))
    assert json.loads(json.dumps(metrics.perplexity(100_000.0, 1))) > 1e300
