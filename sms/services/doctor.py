"""What has to be right for texts to come and go, looked at one thing after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from requests.exceptions import RequestException
from twilio.base.exceptions import TwilioException, TwilioRestException

from sms import client
from sms.models import Answer, State
from sms.numbers import number_mask

Result = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `next_step` is empty when it is as it should be."""

    name: str
    result: Result
    detail: str
    next_step: str = ""


def sms_examine(*, number: str, online: bool = True) -> list[Finding]:
    """Look at settings, and with `online` at the account through Twilio's API.

    `number` in E.164, empty for any number of the account.
    """
    findings = [*_settings(), *_books()]
    if online and client.is_configured():
        findings += _account(number)
    return findings


def webhook_url() -> str:
    """What belongs into the number's "A message comes in" field."""
    return f"{settings.PUBLIC_URL}{reverse('sms:incoming')}"


def _settings() -> Iterator[Finding]:
    env = settings.ENV
    for name, value in (
        ("TWILIO_ACCOUNT_SID", env.twilio_account_sid),
        ("TWILIO_AUTH_TOKEN", env.twilio_auth_token),
    ):
        if value:
            yield Finding(name, "ok", "is set")
        else:
            yield Finding(
                name,
                "error",
                "is not set",
                f"Copy it from the front page of the Twilio console into .env: {name}=…",
            )
    host = urlsplit(settings.PUBLIC_URL).hostname
    if not settings.PUBLIC_URL:
        yield Finding(
            "PUBLIC_URL",
            "error",
            "is not set",
            "Put the address people reach the site at into .env: "
            "PUBLIC_URL=https://chat.example.org",
        )
    elif not env.https:
        yield Finding(
            "PUBLIC_URL",
            "error",
            "is not https",
            "Put the site behind a proxy with a certificate and write https:// in PUBLIC_URL.",
        )
    elif host in {"localhost", "127.0.0.1", "::1"}:
        yield Finding(
            "PUBLIC_URL",
            "error",
            "is this machine's own address, which Twilio cannot reach",
            "Use a name that the internet knows, or a tunnel's.",
        )
    else:
        yield Finding("PUBLIC_URL", "ok", settings.PUBLIC_URL)


def _books() -> Iterator[Finding]:
    late = Answer.objects.filter(state=State.OWED, due_at__lt=timezone.now()).count()
    unknown = Answer.objects.filter(state=State.UNKNOWN).count()
    if late:
        yield Finding(
            "owed answers",
            "warning",
            f"{late} due and not sent yet",
            "They go out while the server runs. If it does not: manage.py deliver_pending_sms",
        )
    else:
        yield Finding("owed answers", "ok", "none is late")
    if unknown:
        yield Finding(
            "unknown outcomes",
            "warning",
            f"{unknown} answers may or may not have been sent",
            "They are never sent again by themselves; see them in the admin under answers.",
        )


def _account(number: str) -> Iterator[Finding]:
    twilio = client.twilio_client()
    try:
        account = twilio.api.v2010.accounts(settings.ENV.twilio_account_sid).fetch()
        owned = twilio.incoming_phone_numbers.list(
            **({"phone_number": number} if number else {}), limit=50
        )
    except TwilioRestException as error:
        yield _api_finding(error)
        return
    except (RequestException, TwilioException, ValueError) as error:
        yield Finding(
            "Twilio's API",
            "error",
            f"cannot be reached ({type(error).__name__})",
            "Check that this machine may open connections to api.twilio.com, port 443.",
        )
        return
    active = account.status == "active"
    yield Finding(
        "account",
        "ok" if active else "error",
        f"is {account.status}",
        "" if active else "Look at the Twilio console: a suspended account takes no texts.",
    )
    yield from _numbers(number, owned)


def _api_finding(error: TwilioRestException) -> Finding:
    if error.status in {401, 403}:
        return Finding(
            "credentials",
            "error",
            "Twilio does not accept them",
            "Copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN again; the token may have been changed.",
        )
    return Finding(
        "Twilio's API",
        "error",
        f"answered {error.status} (code {error.code})",
        f"See https://www.twilio.com/docs/errors/{error.code}" if error.code else "Try again.",
    )


def _numbers(number: str, owned: list[Any]) -> Iterator[Finding]:
    if not owned:
        yield Finding(
            "number",
            "error",
            f"{number_mask(number)} is not one of the account's" if number else "there is none",
            "Buy one in the Twilio console under Phone Numbers, or correct CHATBOT_SMS_NUMBER.",
        )
    # Of several numbers some may be meant for other things.
    misdirected: Result = "error" if number or len(owned) == 1 else "warning"
    for each in owned:
        shown = each.phone_number
        if not (each.capabilities or {}).get("sms"):
            yield Finding(shown, "error", "cannot text", "Choose a number with SMS capability.")
        elif each.sms_application_sid:
            yield Finding(
                shown,
                misdirected,
                f"texts go to the TwiML application {each.sms_application_sid}, not here",
                "It goes before the number's own webhook. Choose “Webhook” instead in the console, "
                "or run manage.py sms_doctor --register --number NUMBER.",
            )
        elif each.sms_url == webhook_url() and str(each.sms_method).upper() == "POST":
            yield Finding(
                shown,
                "ok",
                f"texts go to {webhook_url()} (if no Messaging Service takes them first)",
            )
        else:
            yield Finding(
                shown,
                misdirected,
                f"texts go to {each.sms_method or ''} {each.sms_url or 'nowhere'}".strip(),
                f"Set “A message comes in” to webhook {webhook_url()}, HTTP POST: in the console, "
                "or with manage.py sms_doctor --register --number NUMBER. A Messaging Service "
                "has a field of its own that goes before it.",
            )


def webhook_register(*, number: str) -> bool:
    """Let Twilio send the number's texts here. False when the account has no such number.

    The fallback is the same address: Twilio then asks a second time when the first was lost, and
    the same text is never answered twice. Raises TwilioRestException.
    """
    twilio = client.twilio_client()
    owned = twilio.incoming_phone_numbers.list(phone_number=number, limit=1)
    for each in owned:
        each.update(
            sms_url=webhook_url(),
            sms_method="POST",
            sms_fallback_url=webhook_url(),
            sms_fallback_method="POST",
            sms_application_sid="",  # would go before the webhook
        )
    return bool(owned)
