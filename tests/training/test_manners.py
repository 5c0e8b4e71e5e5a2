"""Dialogues are written anew as people with manners of their own would write them."""

from __future__ import annotations

import gzip
import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.training.tiny import dialogue_row, write_rows
from training.data.manners import calm, open_ended, write_out
from training.data.readers import read_dialogues

TURNS = ["Hi! I'm Ann.", "I don't have one. It's fun, isn't it?"]
ROWS = 80


def vary(data: Path, out: Path, *options: object) -> list[tuple[str, ...]]:
    call_command("vary_dialogues", "--data", str(data), "--out", str(out), *map(str, options))
    return [dialogue.turns for dialogue in read_dialogues(out)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "alike.jsonl", [dialogue_row(turns=TURNS * 2)] * ROWS)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("I'm here and you're not", "I am here and you are not"),
        ("I’m sure we've met, they'll see", "I am sure we have met, they will see"),
        ("Don't go, I can't, he won't", "Do not go, I cannot, he will not"),
        ("Don't you like it? Isn't it nice?", "Do you not like it? Is it not nice?"),
        ("It's fine. He's been there, who's that?", "It is fine. He has been there, who is that?"),
        ("My mom's dog, let's go, I'd say, it ain't", "My mom's dog, let's go, I'd say, it ain't"),
        ("Can't you see?", "Can you not see?"),
        ("It's raining cats and dogs", "It is raining cats and dogs"),
    ],
)
def test_contractions_are_written_out(short: str, full: str) -> None:
    assert write_out(short) == full


def test_exclamation_marks_become_full_stops() -> None:
    assert calm("Wow!! How nice! Is it?") == "Wow. How nice. Is it?"


def test_only_the_last_full_stop_is_left_out() -> None:
    assert open_ended("Yes. I do.") == "Yes. I do"
    assert [open_ended(text) for text in ("Yes?", "Well...", ".")] == ["Yes?", "Well...", "."]


def test_how_many_were_written_is_told_to_programs_too(data: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "varied.jsonl", StringIO()
    call_command("vary_dialogues", "--data", str(data), "--out", str(out), "--json", stdout=told)
    assert json.loads(told.getvalue()) == {"out": str(out), "dialogues": ROWS}


def test_speakers_have_manners_of_their_own_and_keep_them(data: Path, tmp_path: Path) -> None:
    dialogues = vary(data, tmp_path / "varied.jsonl")
    assert len(dialogues) == ROWS
    # Who opens a dialogue in one way goes on in it, whatever the other does.
    assert all(turns[:2] == turns[2:] for turns in dialogues)
    assert len({turns[0] for turns in dialogues}) == 8
    both = {("I'm" in turns[0], "don't" in turns[1]) for turns in dialogues}
    assert len(both) == 4


def test_the_same_seed_makes_the_same_file(data: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.jsonl.gz" for number in range(3)]
    for file, seed in zip(files, (5, 5, 6), strict=True):
        vary(data, file, "--seed", seed)
    first, again, other = (file.read_bytes() for file in files)
    assert first == again != other
    with gzip.open(files[0], "rt", encoding="utf-8") as lines:
        assert json.loads(next(lines)).keys() == {"source", "personas", "turns"}


def test_what_cannot_be_read_or_written_is_one_line(data: Path, tmp_path: Path) -> None:
    with data.open("a") as file:
        file.write("{no dialogue\n")
    err = StringIO()
    out = tmp_path / "varied.jsonl"
    call_command("vary_dialogues", "--data", str(data), "--out", str(out), stderr=err)
    assert f"1 damaged lines skipped (line {ROWS + 1}: " in err.getvalue()
    with pytest.raises(CommandError, match=r"nowhere\.jsonl: cannot be read"):
        vary(tmp_path / "nowhere.jsonl", tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()
    with pytest.raises(CommandError, match=r"no/varied\.jsonl: cannot be written"):
        vary(data, tmp_path / "no" / "varied.jsonl")
