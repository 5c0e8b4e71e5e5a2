"""A list of words goes from dialogues into a bundle."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from inference.bundle import load_bundle
from inference.prompt import PromptRenderer
from inference.spelling import Lexicon
from inference.vocabulary import Vocabulary
from tests.training.tiny import dialogue_row, tiny_checkpoint, write_rows


def count(data: Path, *options: object) -> list[str]:
    out = data.with_suffix(".txt")
    call_command("count_words", "--data", str(data), "--out", str(out), *map(str, options))
    return out.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [dialogue_row() for _ in range(3)] + [dialogue_row(turns=["Bonjour Émile!", "Quois?"])]
    return write_rows(tmp_path / "dialogues.jsonl", rows)


def test_words_that_occur_often_enough_are_listed(data: Path) -> None:
    listed = count(data, "--at-least", 2)
    assert {"nurse", "named", "what"} <= set(listed)
    assert listed == sorted(listed)
    assert not {"bonjour", "Émile", "am"} & set(listed)
    # Each is written as most people write it where no sentence begins.
    assert {"bonjour", "Émile", "quois", "nurse"} <= set(count(data, "--at-least", 1))


def test_short_words_must_occur_more_often(tmp_path: Path) -> None:
    rows = [dialogue_row(turns=["zzyx zyx", "zzyx"]) for _ in range(5)]
    assert {"zzyx"} == {"zzyx", "zyx"} & set(count(write_rows(tmp_path / "few.jsonl", rows)))
    rows = [dialogue_row(turns=["zyx", "zzyx"]) for _ in range(50)]
    assert "zyx" in count(write_rows(tmp_path / "many.jsonl", rows))


def test_words_of_grammar_dialogues_are_listed_however_rare(data: Path) -> None:
    listed = set(count(data, "--at-least", 100, "--grammar", 50))
    assert {"i", "you", "not"} <= listed
    assert "bonjour" not in listed


def test_how_many_there_are_is_told_to_programs_too(data: Path) -> None:
    out = StringIO()
    named = ("--data", str(data), "--out", str(data.with_suffix(".txt")))
    call_command("count_words", *named, "--json", stdout=out)
    listed = data.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    assert json.loads(out.getvalue()) == {"out": named[-1], "words": len(listed)}


def test_damaged_lines_are_told(data: Path) -> None:
    with data.open("a") as file:
        file.write("{no dialogue\n")
    err = StringIO()
    out = data.with_suffix(".txt")
    call_command("count_words", "--data", str(data), "--out", str(out), stderr=err)
    assert "1 damaged lines skipped (line 5: " in err.getvalue()


def test_a_bundle_has_them_where_they_are_given(data: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("\n".join(count(data, "--at-least", 1)), encoding="utf-8")
    checkpoint = tiny_checkpoint(tmp_path / "tiny")
    for name, options in (("held", ["--words", str(words)]), ("free", [])):
        out = tmp_path / name
        call_command("export_bundle", "--checkpoint", str(checkpoint), "--out", str(out), *options)
        bundle = load_bundle(out)
        lexicon = Lexicon.of(bundle, Vocabulary.of(PromptRenderer.from_bundle(bundle).tokenizer))
        assert bool(lexicon and "bonjour" in lexicon.words) is (name == "held")


def test_what_cannot_be_read_or_written_is_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nowhere"):
        count(tmp_path / "nowhere.jsonl")
    out = tmp_path / "no" / "words.txt"
    with pytest.raises(CommandError, match=r"no/words\.txt: cannot be written"):
        call_command("count_words", "--data", str(data), "--out", str(out))
    with pytest.raises(CommandError, match=r"missing\.txt: cannot be read"):
        call_command(
            *["export_bundle", "--checkpoint", str(tiny_checkpoint(tmp_path / "tiny"))],
            *["--out", str(tmp_path / "b"), "--words", str(tmp_path / "missing.txt")],
        )
    (tmp_path / "empty.txt").write_text("1\n")
    with pytest.raises(CommandError, match=r"empty\.txt: holds no word"):
        call_command(
            *["export_bundle", "--checkpoint", str(tmp_path / "tiny")],
            *["--out", str(tmp_path / "b"), "--words", str(tmp_path / "empty.txt")],
        )
