"""Questions find the lines of a persona that say something on them in other words."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inference.bundle import MEANINGS_FILE, Bundle
from inference.errors import BundleError
from inference.meanings import Meanings
from inference.persona.answering import Answers
from inference.persona.retrieval import nearest_line
from inference.prompt import PromptRenderer, Turn
from inference.vocabulary import Vocabulary

PERSONA = [
    "I have two dogs, Rex and Ida.",
    "I am a night nurse.",
    "My brother is the mayor.",
    "My favorite movie is Jaws.",
    "I never eat fish.",
    "I play the trumpet in the rain.",
]


@pytest.fixture(scope="module")
def meanings(bundle: Bundle, renderer: PromptRenderer) -> Meanings:
    found = Meanings.of(bundle, renderer.encode)
    assert found is not None
    return found


def test_words_that_are_used_alike_are_near(meanings: Meanings) -> None:
    for near, far, word in [("film", "dog", "movie"), ("sister", "green", "brother")]:
        assert meanings.nearness([near], [word]) > meanings.nearness([far], [word]) + 0.2
    assert meanings.nearness(["movie"], ["dog", "movie"]) == pytest.approx(1, abs=1e-5)
    assert meanings.nearness([], ["movie"]) == 0
    assert meanings.nearness(["movie"], []) == 0


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("what film do you like best?", "My favorite movie is Jaws."),
        ("do you have a sister?", "My brother is the mayor."),
        ("do you eat meat?", "I never eat fish."),
        ("how are you?", None),
        ("what do you think of it?", None),
        ("what is your favorite color?", None),
        ("do you know my nurse?", None),
        ("I saw a good film.", None),
        ("have you played it?", None),
        ("have you played it on a trumpet?", "I play the trumpet in the rain."),
    ],
)
def test_the_nearest_line_answers(meanings: Meanings, question: str, line: str | None) -> None:
    assert nearest_line(question, PERSONA, [], meanings.nearness) == line


def test_what_was_just_told_is_not_told_again(meanings: Meanings) -> None:
    question, said = "what film do you like best?", ["my favorite movie is jaws. you?"]
    assert nearest_line(question, PERSONA, said, meanings.nearness) is None


def test_answers_begin_with_the_nearest_line(meanings: Meanings, renderer: PromptRenderer) -> None:
    vocabulary = Vocabulary.of(renderer.tokenizer)
    question = [Turn("person", "Hi! What film do you like best?")]
    near = Answers(renderer, vocabulary, meanings.nearness)
    answer = near.to(question, PERSONA, 40)
    assert answer is not None
    assert "jaws" in renderer.tokenizer.decode(list(answer.begins))
    assert Answers(renderer, vocabulary).to(question, PERSONA, 40) is None


def test_a_bundle_may_come_without(bundle: Bundle, renderer: PromptRenderer) -> None:
    files = {name: entry for name, entry in bundle.files.items() if name != MEANINGS_FILE}
    assert Meanings.of(replace(bundle, files=files), renderer.encode) is None


def test_a_broken_graph_is_named(bundle: Bundle, renderer: PromptRenderer, tmp_path: Path) -> None:
    shutil.copy(bundle.path / MEANINGS_FILE, tmp_path)
    with pytest.raises(BundleError, match=r"meanings\.onnx: ONNX Runtime cannot run it"):
        Meanings.of(replace(bundle, path=tmp_path), renderer.encode)
    # Another graph under its name.
    for name in ("score.onnx", "model.onnx.data"):
        shutil.copy(bundle.path / name, tmp_path)
    (tmp_path / "score.onnx").replace(tmp_path / MEANINGS_FILE)
    with pytest.raises(BundleError, match=r"meanings\.onnx: ONNX Runtime cannot run it"):
        Meanings.of(replace(bundle, path=tmp_path), renderer.encode)
