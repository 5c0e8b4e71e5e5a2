"""`simulate_sms` against a running server, and what `sms_doctor` and `check` find."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from secrets import randbelow, token_hex
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from conversations.models import Persona
from sms import wording
from sms.checks import check_sms, check_sms_off
from sms.numbers import address_parse
from sms.texting import incoming_form, messages_parse, signed
from tests.servers import ROOT, Server, environment
from tests.sms.conftest import Phone, SlowEngine
from tests.sms.payloads import ACCOUNT, INCOMING, OURS, PERSON, PUBLIC, TOKEN
from tests.sms.twilio_api import TwilioApi

WEBHOOK = "https://chat.example.org/sms/incoming/"


@pytest.fixture(scope="module")
def server(server_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("sms") / "db.sqlite3"
    with Server(database, server_template, TWILIO_AUTH_TOKEN=TOKEN, DEBUG="true") as running:
        yield running


def simulate(server: Server, *arguments: str, **variables: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, report and standard error of the command in a process of its own."""
    done = subprocess.run(
        [
            *(sys.executable, "manage.py", "simulate_sms", "--server", server.url, "--json"),
            *arguments,
        ],
        cwd=ROOT,
        env=environment(server.database, TWILIO_AUTH_TOKEN=TOKEN) | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_a_chat_with_the_real_model_over_real_requests(server: Server) -> None:
    # Somebody new, even when the test is run again on the same site.
    person = ("--from", f"+1415555{randbelow(10_000):04}")
    sid = f"SM{token_hex(16)}"
    code, first, _ = simulate(server, *person, "--sid", sid, "Hello, who are you?")
    assert (code, first["status"]) == (0, 200)
    (answer,) = first["messages"]
    assert answer.startswith(wording.GREETING)
    assert len(answer) > len(wording.GREETING) + 1

    _, copy, _ = simulate(server, *person, "--sid", sid, "Hello, who are you?")
    assert copy["body"] == first["body"]

    _, reset, _ = simulate(server, *person, " /RESET ")
    assert reset["messages"] == [wording.RESET]

    code, forged, error = simulate(server, *person, "--forged", "hello")
    assert (code, forged["status"]) == (1, 403)
    assert "The server answered 403." in error

    _, picture, _ = simulate(server, *person, "--media", "image/jpeg", "")
    assert picture["messages"] == [wording.MEDIA]
    _, empty, _ = simulate(server, *person, "")
    assert empty["status"] == 204


def test_simulate_says_what_is_missing(server: Server) -> None:
    code, _, error = simulate(server, "--from", "+14155550123", "hi", TWILIO_AUTH_TOKEN="")
    assert code == 1
    assert "TWILIO_AUTH_TOKEN is not set" in error
    code, _, error = simulate(server, "--from", "0123", "hi")
    assert code == 1
    assert "--from: a phone number is written with +" in error
    code, _, error = simulate(
        server, "--from", "+14155550123", "hi", "--server", "http://127.0.0.1:9"
    )
    assert code == 1
    assert "No server answers at http://127.0.0.1:9" in error
    assert "Traceback" not in error
    for server_url in ("http://localhost:99999", "localhost:8000"):
        with pytest.raises(CommandError, match="is not a URL"):
            call_command("simulate_sms", "hi", "--from", "+14155550123", "--server", server_url)


async def test_a_text_goes_straight_to_the_server_signed_for_the_public_address(
    phone: Phone, characters: list[Persona], engine: SlowEngine
) -> None:
    form = incoming_form(address_parse(PERSON), OURS, "hello")
    path, headers = signed(form, token=TOKEN, public_url=PUBLIC)
    assert path == INCOMING
    assert headers["Host"] == "chat.example.org"
    assert headers["X-Forwarded-Proto"] == "https"
    response = await phone.post(path, form, **{"X-Twilio-Signature": headers["X-Twilio-Signature"]})
    (answer,) = messages_parse(response.content.decode())
    assert answer.endswith("You said hello.")
    assert messages_parse("<html><p>Bad gateway") == []


# The doctor


def doctor(**options: Any) -> dict[str, Any]:
    out = StringIO()
    with contextlib.suppress(CommandError):
        call_command("sms_doctor", json=True, stdout=out, **options)
    report: dict[str, Any] = json.loads(out.getvalue())
    report["by_name"] = {each["name"]: each for each in report["findings"]}
    return report


@pytest.mark.django_db
def test_the_doctor_finds_everything_in_place(twilio_api: TwilioApi) -> None:
    twilio_api.numbers = [owned(sms_url=WEBHOOK)]
    out = StringIO()
    call_command("sms_doctor", number=OURS, stdout=out)
    assert "Everything is in place." in out.getvalue()


@pytest.mark.django_db
def test_the_doctor_says_how_to_begin(settings: Settings, env: Any) -> None:
    settings.PUBLIC_URL = ""
    env(twilio_auth_token="", twilio_account_sid="")
    report = doctor()
    assert not report["ok"]
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "PUBLIC_URL"):
        assert report["by_name"][name]["result"] == "error"
        assert f"{name}=" in report["by_name"][name]["next_step"]


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["http://chat.example.org", "https://localhost"])
def test_the_doctor_wants_a_public_https_address(settings: Settings, env: Any, url: str) -> None:
    settings.PUBLIC_URL = url
    env(public_url=url)
    assert doctor(offline=True)["by_name"]["PUBLIC_URL"]["result"] == "error"


@pytest.mark.django_db
def test_the_doctor_looks_at_the_account(twilio_api: TwilioApi, env: Any) -> None:
    env(public_url="https://chat.example.org")
    report = doctor(number=OURS)
    assert report["by_name"]["number"]["detail"] == "+1••••••••00 is not one of the account's"

    twilio_api.numbers = [owned(sms_url="https://demo.twilio.com/welcome/sms/reply")]
    report = doctor(number=OURS)
    assert WEBHOOK in report["by_name"][OURS]["next_step"]

    twilio_api.account_status = "suspended"
    assert doctor()["by_name"]["account"]["result"] == "error"
    twilio_api.is_strange = True
    assert doctor()["by_name"]["credentials"]["result"] == "error"
    env(twilio_api_base="http://127.0.0.1:9")
    assert "cannot be reached" in doctor()["by_name"]["Twilio's API"]["detail"]


@pytest.mark.django_db
def test_the_doctor_registers_the_webhook(twilio_api: TwilioApi, env: Any) -> None:
    env(public_url="https://chat.example.org")
    twilio_api.numbers = [owned(sms_url="")]
    assert doctor(number=OURS, register=True)["ok"]
    assert twilio_api.numbers[0]["sms_url"] == WEBHOOK
    # A TwiML application would take all texts before that.
    twilio_api.numbers[0]["sms_application_sid"] = f"AP{'3' * 32}"
    report = doctor(number=OURS)
    assert not report["ok"]
    assert "TwiML application" in report["by_name"][OURS]["detail"]
    assert doctor(number=OURS, register=True)["ok"]
    with pytest.raises(CommandError, match="no such number"):
        call_command("sms_doctor", number="+14155550177", register=True)


def owned(*, sms_url: str) -> dict[str, Any]:
    return {
        "sid": f"PN{'3' * 32}",
        "account_sid": ACCOUNT,
        "phone_number": OURS,
        "capabilities": {"sms": True, "mms": True, "voice": False},
        "sms_url": sms_url,
        "sms_method": "POST",
    }


# The checks


def test_checks_find_a_half_configured_line(settings: Settings, env: Any) -> None:
    env(public_url="https://chat.example.org", twilio_account_sid=ACCOUNT)
    assert check_sms() == []
    env(public_url="http://chat.example.org", twilio_account_sid="")
    assert [found.id for found in check_sms()] == ["sms.W003", "sms.W004"]
    settings.PUBLIC_URL = ""
    assert [found.id for found in check_sms()] == ["sms.W002", "sms.W004"]
    env(twilio_auth_token="", twilio_account_sid=ACCOUNT)
    assert [found.id for found in check_sms()] == ["sms.E001"]
    assert check_sms_off() == []
    env(twilio_account_sid="")
    assert check_sms() == []
    (found,) = check_sms_off()
    assert found.id == "sms.I001"
    assert "TWILIO_AUTH_TOKEN" in str(found.hint)
