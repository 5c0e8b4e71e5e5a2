"""Validation while training: whose replies it measures, and what it could not read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
pytest.importorskip("keras")

from inference.prompt import PromptRenderer
from tests.training.tiny import dialogue_row, tiny_dialogues, tiny_renderer, write_rows
from training.config import TrainConfig
from training.errors import DataError
from training.validate import Validation


@pytest.fixture
def renderer() -> PromptRenderer:
    return tiny_renderer()


def read(path: Path, renderer: PromptRenderer) -> tuple[Validation, list[str]]:
    told: list[str] = []
    run = TrainConfig(out=path.parent / "run", checkpoint="any", grammar=1, steps=1)
    return Validation.from_file(path, renderer, run, told.append), told


def test_damaged_lines_are_told(tmp_path: Path, renderer: PromptRenderer) -> None:
    path = tiny_dialogues(tmp_path / "held_out.jsonl", 3)
    with path.open("a") as file:
        file.write("{no dialogue\n")
    validation, told = read(path, renderer)
    assert validation.words == 3 * (4 + 5)
    assert len(told) == 1
    assert "1 damaged lines skipped (line 4: " in told[0]


def test_who_opens_in_personachat_is_the_bot(tmp_path: Path, renderer: PromptRenderer) -> None:
    utterances = [
        {"history": ["__ SILENCE __"], "candidates": ["i love tea"]},
        {"history": ["__ SILENCE __", "i love tea", "ok"], "candidates": ["a dog has no tea"]},
    ]
    path = tmp_path / "personachat.json"
    valid = [{"personality": ["i have a dog"], "utterances": utterances}]
    path.write_text(json.dumps({"valid": valid}))
    validation, _ = read(path, renderer)
    assert validation.words == 3 + 5
    batch = validation.batches[0]
    learnt = batch["target_ids"][batch["target_weight"] > 0]
    ends = [renderer.encode(text)[-1] for text in ("i love tea", "a dog has no tea")]
    assert set(ends) <= set(learnt.tolist())
    # The persona stands before them, and not among them.
    head = [*renderer.encode("i have a dog")]
    assert batch["ids"][0, 2 : 2 + len(head)].tolist() == head


def test_what_is_said_before_the_bot_takes_leave_counts(
    tmp_path: Path, renderer: PromptRenderer
) -> None:
    leaves = dialogue_row(turns=["hi!", "i have a dog", "ok", "bye !"])
    stays = dialogue_row(turns=["hi!", "i am a nurse", "bye !", "bye !"])
    validation, _ = read(write_rows(tmp_path / "both.jsonl", [leaves, stays]), renderer)
    assert validation.words == 4 + (4 + 2)
    batch = validation.batches[0]
    learnt = batch["target_ids"][batch["target_weight"] > 0]
    # Each reply with the token that ends it, of which a farewell is one.
    replies = ("i have a dog", "i am a nurse", "bye !")
    assert len(learnt) == sum(len(renderer.encode(text)) + 1 for text in replies)


def test_replies_that_fit_nowhere(tmp_path: Path, renderer: PromptRenderer) -> None:
    path = write_rows(tmp_path / "long.jsonl", [dialogue_row(turns=["hi!", "i have a dog " * 99])])
    with pytest.raises(DataError, match=r"no dialogue fits 256 tokens; raise .* row_length"):
        read(path, renderer)


def test_a_bot_that_says_nothing_but_goodbye(tmp_path: Path, renderer: PromptRenderer) -> None:
    path = write_rows(tmp_path / "bye.jsonl", [dialogue_row(turns=["hi!", "bye !"])])
    with pytest.raises(DataError, match=r"bye\.jsonl: the bot says nothing before it takes leave"):
        read(path, renderer)
