"""Dialogues are encoded once; a change makes a new cache, and damage is told every time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference.prompt import PromptRenderer
from tests.training.tiny import tiny_renderer
from training.data import tokens
from training.data.dialogue import Dialogue
from training.data.farewell import takes_leave
from training.data.readers import read_dialogues
from training.data.tokens import TokenDialogue, TokenDialogues, read_tokens
from training.errors import DataError

PERSONAS = [["i love tea ."], ["i am a nurse .", "i have a dog named rex ."]]
LINES = ["i love tea.", "i am a nurse.", "i have a dog named rex."]


@pytest.fixture
def renderer() -> PromptRenderer:
    return tiny_renderer(n_ctx=64)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    row = {"personas": PERSONAS, "turns": ["Hi !", "hi ! how are you ?", "what do you do ?"]}
    path.write_text(json.dumps(row) + "\nno dialogue\n" + json.dumps(row) + "\n")
    return path


def read(data: Path, renderer: PromptRenderer) -> tuple[TokenDialogues, list[str]]:
    lines: list[str] = []
    return read_tokens(str(data), renderer, data.parent / "tokens", lines.append), lines


def texts(dialogue: TokenDialogue, renderer: PromptRenderer) -> list[str]:
    decode = renderer.tokenizer.decode
    first, second = dialogue.personas
    return [decode(ids).strip() for ids in (*first, *second, *dialogue.turns)]


def test_dialogues_come_back_as_they_were(data: Path, renderer: PromptRenderer) -> None:
    found, _ = read(data, renderer)
    assert len(found) == 2
    # The space before punctuation is not kept.
    spoken = ["hi!", "hi! how are you?", "what do you do?"]
    assert texts(found[1], renderer) == [*LINES, *spoken]
    assert [speaker for speaker, _ in found[0].turns_for(1)] == ["person", "bot", "person"]


def test_the_bot_is_never_the_first_to_take_leave(renderer: PromptRenderer) -> None:
    turns = ("hi !", "hi ! what do you do ?", "i am a nurse .", "nice talking to you !", "bye !")
    both = ((), ())
    found = TokenDialogues.of([Dialogue("test", both, turns)], renderer)[0]
    assert len(found.turns_for(1)) == 3
    assert len(found.turns_for(0)) == len(turns)


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("i have to go now, bye!", True),
        ("Well, it was great chatting with you.", True),
        ("have a nice day!", True),
        ("good night", True),
        ("ok take care!", True),
        ("who will take care of your dog?", False),
        ("i have to go to work every day", False),
        ("it is nice to meet you", False),
        ("they have a bye week", False),
    ],
)
def test_a_farewell_is_told_from_what_only_sounds_like_one(text: str, leaves: bool) -> None:
    assert takes_leave(text) == leaves


def test_a_file_is_encoded_once(
    data: Path, renderer: PromptRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, told = read(data, renderer)
    monkeypatch.setattr(tokens, "read_dialogues", None)
    found, again = read(data, renderer)
    assert len(found) == 2
    assert told == again
    assert "line 2: " in told[0]


def test_another_file_or_another_layout_is_encoded_anew(
    data: Path, renderer: PromptRenderer
) -> None:
    read(data, renderer)
    found, _ = read(data, tiny_renderer(n_ctx=64, lowercase=False))
    assert texts(found[0], renderer)[3] == "Hi!"
    row = {"personas": PERSONAS, "turns": ["yes", "no"]}
    data.write_text(json.dumps(row))
    found, _ = read(data, renderer)
    assert texts(found[0], renderer)[3:] == ["yes", "no"]
    assert len(list((data.parent / "tokens").iterdir())) == 3


def test_two_runs_may_encode_one_file_at_once(
    data: Path, renderer: PromptRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*given: Any) -> Iterator[Dialogue]:
        monkeypatch.setattr(tokens, "read_dialogues", read_dialogues)
        read(data, renderer)
        yield from read_dialogues(*given)

    monkeypatch.setattr(tokens, "read_dialogues", overtaken)
    found, told = read(data, renderer)
    assert len(found) == 2
    assert "line 2: " in told[0]
    assert len(list((data.parent / "tokens").iterdir())) == 1


def test_a_place_that_takes_no_cache(data: Path, renderer: PromptRenderer) -> None:
    (data.parent / "tokens").write_text("in the way")
    with pytest.raises(DataError, match="cannot be kept"):
        read(data, renderer)


@pytest.mark.parametrize("size", [0, 100, 130])
def test_a_damaged_cache_is_named(data: Path, renderer: PromptRenderer, size: int) -> None:
    read(data, renderer)
    [cache] = (data.parent / "tokens").iterdir()
    path = cache / "tokens.npy"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"tokens/data\.jsonl-\w+: cannot be read .*; delete it"):
        read(data, renderer)


def test_a_missing_file(tmp_path: Path, renderer: PromptRenderer) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "nothing.jsonl", renderer)
