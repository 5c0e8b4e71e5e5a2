"""What is wrong with the SMS settings, told by `manage.py check` before a text is lost."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, register
from django.core.checks import Warning as CheckWarning

HINT = "docs/sms.md goes through it step by step; `manage.py sms_doctor` looks at the rest."


@register("sms")
def check_sms(**_: Any) -> list[CheckMessage]:
    """Settings that contradict each other or leave a half working line."""
    env = settings.ENV
    if not env.twilio_auth_token:
        if not (env.twilio_account_sid or env.sms_number):
            return []
        return [
            Error(
                "TWILIO_AUTH_TOKEN is not set, so the SMS webhooks answer 503 to everybody.",
                hint=f"Copy the auth token from the Twilio console's front page. {HINT}",
                id="sms.E001",
            )
        ]
    found: list[CheckMessage] = []
    if not settings.PUBLIC_URL:
        found.append(
            CheckWarning(
                "PUBLIC_URL is not set, so Twilio's signatures are checked against the address "
                "each request names and no delivery reports arrive.",
                hint=f"Set it to the address Twilio calls: https://chat.example.org. {HINT}",
                id="sms.W002",
            )
        )
    elif not env.https:
        found.append(
            CheckWarning(
                "PUBLIC_URL is not https, so texts travel to this site unencrypted.",
                hint=f"Put the site behind a proxy with a certificate. {HINT}",
                id="sms.W003",
            )
        )
    if not env.twilio_account_sid:
        found.append(
            CheckWarning(
                "TWILIO_ACCOUNT_SID is not set: a reply that takes longer than "
                "CHATBOT_SMS_DEADLINE stays owed and is never sent.",
                hint=f"Copy it from the Twilio console's front page. {HINT}",
                id="sms.W004",
            )
        )
    return found


@register("sms", deploy=True)
def check_sms_off(**_: Any) -> list[CheckMessage]:
    """That nobody can text this site, in case somebody should."""
    env = settings.ENV
    if env.twilio_auth_token or env.twilio_account_sid or env.sms_number:
        return []
    return [
        Info(
            "Text messages are switched off: the SMS webhooks answer 503.",
            hint=f"To switch them on set TWILIO_AUTH_TOKEN and TWILIO_ACCOUNT_SID. {HINT}",
            id="sms.I001",
        )
    ]
