"""The load generator against a real server."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from conversations.loadtest.plan import Plan
from conversations.loadtest.trial import trial_search
from tests.conversations.processes import run
from tests.servers import Server

TOKEN = "a token for tests"


@pytest.fixture(scope="module")
def open_server(
    server_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("loadtest") / "db.sqlite3"
    with Server(
        database,
        server_template,
        CHATBOT_MESSAGE_RATE="100000/minute",
        CHATBOT_CONVERSATION_RATE="100000/hour",
        TWILIO_AUTH_TOKEN=TOKEN,
    ) as server:
        yield server


def loadtest(server: Server, *arguments: str) -> tuple[int, str, str]:
    result = run(
        "manage.py", "loadtest", "--url", server.url, "--people", "3", "--every", "0.5",
        "--ramp", "0.1", "--settle", "0.1", "--json", *arguments, TWILIO_AUTH_TOKEN=TOKEN,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr


def test_three_people_chat_and_text(open_server: Server) -> None:
    status, out, error = loadtest(open_server, "--seconds", "2", "--sms-share", "0.34")
    assert status == 0, error
    report = json.loads(out)
    assert report["people"] == 3
    assert report["sent"] == report["complete"] > 0
    assert (report["failed"], report["lost"], report["problems"]) == (0, 0, {})
    assert 0 < report["first_token_ms"]["p50"] <= report["reply_ms"]["p99"]
    assert report["server_rss_mb"] > 50
    assert report["tokens_s"] > 0


def test_a_soak_is_recorded_and_drawn(open_server: Server, tmp_path: Path) -> None:
    table, picture = tmp_path / "soak.csv", tmp_path / "soak.png"
    status, _, error = loadtest(
        open_server, "--seconds", "2", "--csv", str(table), "--plot", str(picture)
    )
    assert status == 0, error
    with table.open(newline="") as file:
        samples = list(csv.DictReader(file))
    assert len(samples) > 3
    assert all(float(sample["rss_mb"]) > 50 for sample in samples)
    assert int(samples[-1]["sent"]) > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "reason"), [("no/such.png", "cannot be written"), ("soak.odd", "cannot be drawn")]
)
def test_a_picture_that_cannot_be_had_loses_no_figure(
    open_server: Server, tmp_path: Path, name: str, reason: str
) -> None:
    status, out, error = loadtest(open_server, "--seconds", "1", "--plot", str(tmp_path / name))
    assert status == 1
    assert json.loads(out)["complete"] > 0
    assert f"{name}: {reason}" in error
    assert "Traceback" not in error


def test_a_table_that_cannot_be_written_is_told_before_a_soak(
    open_server: Server, tmp_path: Path
) -> None:
    status, out, error = loadtest(
        open_server, "--minutes", "60", "--csv", str(tmp_path / "n/o.csv")
    )
    assert (status, out) == (1, "")
    assert "n/o.csv: cannot be written" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--find", "--csv", "soak.csv"], "--find tries several"),
        (["--find", "--plot", "soak.png"], "--find tries several"),
        (["--url", "http://127.0.0.1:99999"], "is not a URL"),
        (["--url", "127.0.0.1:8000"], "is not a URL"),
        (["--url", "http://[::1"], "is not a URL"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_line(arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("loadtest", *arguments)


def test_texts_need_a_token(env: Any) -> None:
    env(twilio_auth_token="")
    with pytest.raises(CommandError, match=r"^--sms-share: texts need a token .*TWILIO_AUTH_TOKEN"):
        call_command("loadtest", "--sms-share", "0.3")


def test_rate_limits_are_named(server_template: Path, tmp_path: Path) -> None:
    with Server(tmp_path / "db.sqlite3", server_template, CHATBOT_MESSAGE_RATE="1/hour") as server:
        status, out, error = loadtest(server, "--seconds", "3")
    assert status == 1
    assert json.loads(out)["problems"]["rate_limited"] > 0
    assert "CHATBOT_MESSAGE_RATE" in error


def test_a_larger_crowd_comes_as_fast_as_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Plan] = []

    async def trial(plan: Plan, **_: object) -> dict[str, Any]:
        tried.append(plan)
        return {"holds": plan.people < 50}

    monkeypatch.setattr("conversations.loadtest.trial.trial_run", trial)
    plan = Plan("http://127.0.0.1:1", people=10, ramp=2.0)
    asyncio.run(trial_search(plan, told=lambda report: None))
    assert max(plan.people for plan in tried) > 50
    assert {plan.people / plan.ramp for plan in tried} == {5.0}


def test_a_crowd_of_nobody_is_refused(open_server: Server) -> None:
    status, _, error = loadtest(open_server, "--people", "0")
    assert status == 1
    assert "--people" in error
