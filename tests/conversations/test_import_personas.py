"""Characters from the files of others: PersonaChat's JSON, ParlAI's text, dialogues."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from django.core.management import CommandError

from conversations.models import Persona
from conversations.services.persona_files import PersonaFile
from conversations.services.personas import personas_import
from tests.conversations.loading import FIXTURES, all_lines, load

GUARD = [
    "I keep four snails in a shoe box.",
    "I am a night guard at a bakery.",
    "My sister is louder than me.",
]

pytestmark = pytest.mark.django_db


def test_personachat_json() -> None:
    report = load(FIXTURES / "personachat.json")
    assert report["source"] == "personachat"
    # The last of "train" is the first in another order.
    assert (report["added"], report["already_there"], report["skipped"]) == (3, 1, 2)
    assert report["problems"] == [
        'train[1]: has no "personality".',
        'train[3]: has no "personality".',
    ]
    assert all_lines() == {
        tuple(GUARD),
        ("I paint doors.", "I'm afraid of geese, but I love ducks."),
        ("I collect rain in jars.", "I have never owned a watch."),
    }


def test_parlai_text_of_one_side() -> None:
    report = load(FIXTURES / "parlai_self.txt")
    assert report["source"] == "parlai"
    assert (report["added"], report["skipped"]) == (2, 0)
    assert all_lines() == {tuple(GUARD[:2]), ("I paint doors.", "I'm afraid of geese.")}


def test_parlai_text_of_both_sides_with_a_damaged_line() -> None:
    report = load(FIXTURES / "parlai_both.txt")
    assert report["problems"] == ["line 6: does not begin with a number and a space."]
    assert all_lines() == {
        ("I paint doors.", "I'm afraid of geese."),
        ("I own a red door.", "My goose is called victor."),
        ("I fix clocks.",),
    }


def test_dialogues_with_damaged_lines() -> None:
    report = load(FIXTURES / "dialogues.jsonl")
    assert report["source"] == "dialogues"
    assert (report["added"], report["skipped"]) == (3, 3)
    places = [problem.partition(":")[0] for problem in report["problems"]]
    assert places == ["line 3", "line 4", "line 5"]
    assert all_lines() == {
        ("I keep bees on a bus.",),
        ("I paint doors.", "My goose is called Victor."),
        ("I whistle at whales.",),
    }


@pytest.mark.parametrize("name", ["personachat.json", "parlai_both.txt", "dialogues.jsonl"])
def test_gzipped_files_are_the_same(name: str, tmp_path: Path) -> None:
    plain = load(FIXTURES / name)
    zipped = tmp_path / "renamed"
    zipped.write_bytes(gzip.compress((FIXTURES / name).read_bytes()))
    report = load(zipped)
    assert (report["source"], report["added"]) == (plain["source"], 0)
    assert report["already_there"] == plain["added"] + plain["already_there"]


def test_windows_files_and_byte_order_marks(tmp_path: Path) -> None:
    file = tmp_path / "windows.txt"
    text = "1 your persona: i paint doors .\r\n2 hello\thi\r\n"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    load(file)
    assert all_lines() == {("I paint doors.",)}


def test_characters_of_a_file_can_be_shown(tmp_path: Path) -> None:
    load(FIXTURES / "dialogues.jsonl")
    for persona in Persona.objects.all():
        persona.full_clean()
    first = set(Persona.objects.values_list("digest", "name", "color", "emblem"))
    Persona.objects.all().delete()
    load(FIXTURES / "dialogues.jsonl")
    assert set(Persona.objects.values_list("digest", "name", "color", "emblem")) == first


def test_control_characters_and_lone_surrogates_do_not_reach_the_database(tmp_path: Path) -> None:
    file = tmp_path / "odd.jsonl"
    lines = ["i like\x00 tea .", "odd \ud800 half", "   ", "café ☕ and عربى"]
    file.write_text(json.dumps({"personas": [lines, []], "turns": []}) + "\n", encoding="utf-8")
    load(file)
    assert all_lines() == {("I like tea.", "Odd half.", "Café ☕ and عربى.")}


def test_lines_in_which_nothing_can_be_seen_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "invisible.jsonl"
    personas = [["\u200b", "I fix clocks."], ["\u200b", " \u202e\u00ad"]]
    file.write_text(json.dumps({"personas": personas}), encoding="utf-8")
    assert load(file)["problems"] == ["line 1: a character without lines."]
    assert all_lines() == {("I fix clocks.",)}


def test_a_character_too_long_to_speak_from_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    personas = [["I fix clocks."], [f"Line {number}." for number in range(40)], ["x" * 899]]
    file.write_text(json.dumps({"personas": personas}), encoding="utf-8")
    report = load(file)
    assert (report["added"], report["skipped"]) == (1, 2)
    assert "40 lines" in report["problems"][0]
    assert "900 characters" in report["problems"][1]


def test_too_many_damaged_lines_stop_the_load_and_leave_nothing() -> None:
    with pytest.raises(CommandError) as caught:
        load(FIXTURES / "dialogues.jsonl", "--max-errors", 1)
    assert "more than 1 damaged places" in str(caught.value)
    assert "line 3" in str(caught.value)
    assert not Persona.objects.exists()


def test_a_file_cut_off_in_the_middle_adds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "cut.json"
    file.write_bytes((FIXTURES / "personachat.json").read_bytes()[:700])
    with pytest.raises(CommandError, match="not whole, valid JSON"):
        load(file)
    zipped = tmp_path / "cut.gz"
    zipped.write_bytes(gzip.compress((FIXTURES / "dialogues.jsonl").read_bytes())[:-20])
    with pytest.raises(CommandError, match=r"gzip|cannot be read to its end"):
        load(zipped)
    assert not Persona.objects.exists()


def personachat(number: bytes) -> bytes:
    """A document with a character, and something in it that nobody looks at."""
    good = b'{"personality": ["I sing."]}'
    return b'{"train": [%s, {"personality": ["I like tea."], "n": %s}]}' % (good, number)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"  \n\n ", "is empty"),
        (b"Dear diary,\ntoday I met a goose.\n", "format is not recognised"),
        ("1 your persona: i love caf\u00e9 .\n".encode("latin-1"), r"line 1 is not UTF-8.*iconv"),
        ('{"train": [{"personality": ["caf\u00e9"]}]}'.encode("latin-1"), "is not UTF-8"),
        ("1 your persona: i paint .\n".encode("utf-16"), "is UTF-16"),
        (b'{"personas": [[], []], "turns": []}\n', "no characters found"),
        (b"\x1f\x8bnot really gzip", "not a whole gzip file"),
        (personachat(b"1" * 5_000), r"integer overflow.*I like tea"),
        (personachat(b"1e99999999999999999999"), r"overflow.*I like tea"),
        (personachat(b"[" * 100_000 + b"]" * 100_000), r"train\[1\] is nested more than 100 deep"),
        (b'{"personality":' + b"[" * 100_000, "it is nested more than 100 deep"),
    ],
)
def test_files_that_cannot_be_read(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(CommandError, match=message) as caught:
        load(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b'{"personas": [["I like tea."]]}\n{"personas": %s}'
            % (b"[" * 200_000 + b"]" * 200_000),
            "line 2: is nested too deeply to be read.",
        ),
        (
            b"1 your persona: i like tea .\n%s your persona: i am tall ." % (b"1" * 5_000),
            "line 2: begins with a number of 5,000 digits.",
        ),
    ],
)
def test_a_line_that_nothing_can_be_made_of_is_left_out(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert load(file)["problems"] == [problem]
    assert all_lines() == {("I like tea.",)}
    with pytest.raises(CommandError) as caught:
        load(file, "--max-errors", 0)
    assert str(file) in str(caught.value)
    assert problem in str(caught.value)


def test_what_is_not_looked_at_may_be_deep(tmp_path: Path) -> None:
    file = tmp_path / "deep.json"
    file.write_bytes(personachat(b"[" * 90 + b"]" * 90))
    assert load(file)["added"] == 2


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no such file"):
        load(tmp_path / "missing.json")
    with pytest.raises(CommandError, match="is a directory"):
        load(tmp_path)


def test_the_wrong_format_on_request() -> None:
    with pytest.raises(CommandError, match="read as parlai"):
        load(FIXTURES / "personachat.json", "--format", "parlai")
    with pytest.raises(CommandError, match="not whole, valid JSON"):
        load(FIXTURES / "parlai_self.txt", "--format", "personachat")


def test_a_big_file_is_not_held_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "big.json"
    filler = {"candidates": ["a sentence that nobody keeps ."] * 20, "history": ["hello ."] * 8}
    with file.open("w", encoding="utf-8") as stream:
        stream.write('{"train": [')
        for number in range(1500):
            entry = {"utterances": [filler] * 6, "personality": [f"i have {number} doors ."]}
            stream.write(("," if number else "") + json.dumps(entry))
        stream.write("]}")
    size = file.stat().st_size
    tracemalloc.start()
    try:
        with PersonaFile(file, max_errors=0) as read:
            assert sum(1 for _ in read) == 1500
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size / 5


def test_progress_reaches_the_size_of_the_file() -> None:
    for name in ("personachat.json", "parlai_both.txt", "dialogues.jsonl"):
        steps: list[int] = []
        personas_import(path=FIXTURES / name, progress=steps.append)
        assert sum(steps) == (FIXTURES / name).stat().st_size
