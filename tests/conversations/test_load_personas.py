"""`manage.py load_personas`: the catalogue and the files of others, once and only once."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
import tracemalloc
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations.models import Persona
from conversations.services.persona_files import PersonaFile
from conversations.services.personas import PersonaMissing, persona_random, personas_import

FIXTURES = Path(__file__).parents[1] / "fixtures" / "personas"
GUARD = [
    "I keep four snails in a shoe box.",
    "I am a night guard at a bakery.",
    "My sister is louder than me.",
]

pytestmark = pytest.mark.django_db


def load(*args: object, **options: Any) -> dict[str, Any]:
    out = StringIO()
    call_command("load_personas", *map(str, args), "--json", stdout=out, **options)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def all_lines() -> set[tuple[str, ...]]:
    return {tuple(lines) for lines in Persona.objects.values_list("lines", flat=True)}


def test_the_whole_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    report = load()
    with capsys.disabled():
        seconds = time.monotonic() - started
        sys.stdout.write(f"\nloaded {report['added']} characters in {seconds:.1f} s\n")
    assert report["added"] == report["active"] == Persona.objects.count() >= 20_000
    assert Persona.objects.filter(source="catalogue", is_active=True).count() == report["added"]
    persona = persona_random()
    persona.full_clean()
    assert 4 <= len(persona.lines) <= 6


def test_again_adds_nothing() -> None:
    assert load("--count", 300)["added"] == 300
    before = list(Persona.objects.values())
    report = load("--count", 300)
    assert (report["added"], report["already_there"], report["active"]) == (0, 300, 300)
    assert list(Persona.objects.values()) == before


def test_a_larger_count_adds_the_missing_ones() -> None:
    load("--count", 50)
    report = load("--count", 80)
    assert (report["added"], report["already_there"]) == (30, 50)


def test_another_seed_adds_others() -> None:
    load("--count", 50)
    assert load("--count", 50, "--seed", 7)["added"] == 50


def test_what_staff_changed_stays() -> None:
    load("--count", 20)
    edited, switched_off = Persona.objects.order_by("id")[:2]
    edited.name, edited.lines, edited.emblem = "Zora", ["I am edited."], "Z"
    edited.save()
    switched_off.is_active = False
    switched_off.save()
    report = load("--count", 20)
    assert (report["added"], report["active"]) == (0, 19)
    edited.refresh_from_db()
    switched_off.refresh_from_db()
    assert (edited.name, edited.lines, edited.emblem) == ("Zora", ["I am edited."], "Z")
    assert not switched_off.is_active


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
    ],
)
def test_files_that_cannot_be_read(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(CommandError, match=message) as caught:
        load(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


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


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--count", "many"], "'many' is not a number"),
        (["--count", "-1"], "is not a number from 0 up|expected one argument"),
        (["--format", "csv"], "invalid choice"),
        (["--max-errors", "3"], "--max-errors is for a file"),
        ([str(FIXTURES / "dialogues.jsonl"), "--count", "3"], "--count is for the built-in"),
    ],
)
def test_options_that_make_no_sense(args: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        load(*args)


def test_the_summary_for_a_person() -> None:
    out, err = StringIO(), StringIO()
    call_command("load_personas", str(FIXTURES / "dialogues.jsonl"), stdout=out, stderr=err)
    assert out.getvalue().startswith("dialogues: 3 added, 0 already there, 3 skipped")
    assert 'skipped line 4: has no "personas".' in err.getvalue()


def test_from_a_shell_failure_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    manage = Path(__file__).parents[2] / "manage.py"
    command = [sys.executable, str(manage), "load_personas"]
    failed = subprocess.run(
        [*command, str(tmp_path / "no.json")], capture_output=True, text=True, check=False
    )
    assert failed.returncode != 0
    assert failed.stderr.strip() == f"CommandError: {tmp_path / 'no.json'}: there is no such file."
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "manage.py load_personas personachat" in helped.stdout


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


@pytest.fixture
def _forty() -> None:
    load("--count", 40)


@pytest.mark.usefixtures("_forty")
def test_random_meets_every_active_one_and_no_other() -> None:
    active = set(Persona.objects.order_by("id").values_list("id", flat=True)[::13])
    Persona.objects.exclude(id__in=active).update(is_active=False)
    assert {persona_random().pk for _ in range(200)} == active


@pytest.mark.usefixtures("_forty")
def test_random_besides_somebody_meets_another() -> None:
    one, two = Persona.objects.order_by("id")[:2]
    Persona.objects.exclude(id__in=[one.pk, two.pk]).update(is_active=False)
    assert {persona_random(besides=one).pk for _ in range(20)} == {two.pk}
    Persona.objects.filter(pk=two.pk).update(is_active=False)
    assert persona_random(besides=one) == one


def test_random_without_characters_says_what_to_do() -> None:
    with pytest.raises(PersonaMissing, match="load_personas"):
        persona_random()


@pytest.mark.usefixtures("_forty")
def test_random_asks_for_a_number_and_one_row() -> None:
    with CaptureQueriesContext(connection) as queries:
        persona_random()
    statements = [query["sql"] for query in queries.captured_queries]
    assert len(statements) == 2
    assert "COUNT(" in statements[0]
    assert "LIMIT 1" in statements[1]
