"""`manage.py load_personas`: the built-in catalogue, once and only once, and what it says."""

from __future__ import annotations

import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from conversations.models import Persona
from conversations.services.personas import persona_random
from tests.conversations.loading import FIXTURES, load

pytestmark = pytest.mark.django_db


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
    assert 4 <= len(persona.lines) <= 8  # with its age and where it is from


def test_again_adds_nothing() -> None:
    assert load("--count", 300)["added"] == 300
    before = list(Persona.objects.values())
    report = load("--count", 300)
    assert (report["added"], report["already_there"], report["active"]) == (0, 300, 300)
    assert list(Persona.objects.values()) == before


def test_a_small_cast_stays_small_where_only_an_empty_database_is_filled() -> None:
    assert load("--count", 30, "--if-empty")["added"] == 30
    report = load("--if-empty")
    assert (report["added"], report["already_there"], report["active"]) == (0, 30, 30)


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
