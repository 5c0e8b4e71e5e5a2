"""`manage.py sms_doctor`: is everything in place for text messages?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from requests.exceptions import RequestException
from twilio.base.exceptions import TwilioRestException

from conversations.management.base import ManualCommand
from sms import client
from sms.numbers import NumberInvalid, number_parse
from sms.services.doctor import Finding, sms_examine, webhook_register

HELP = """Looks at everything that has to be right for texts to come and go, and says what to do
next: the two Twilio settings, the public address, the account, the number and its webhook.

  manage.py sms_doctor                                     look
  manage.py sms_doctor --offline                           settings only, asks nobody
  manage.py sms_doctor --register --number +14155550123    point the number's webhook here

Ends with status 1 if something has to be done.
"""
_MARKS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


class Command(ManualCommand):
    help = HELP
    # It tells the same and more itself.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--number",
            default=settings.ENV.sms_number,
            help="your Twilio number (CHATBOT_SMS_NUMBER, else every number of the account)",
        )
        parser.add_argument("--offline", action="store_true", help="settings only, asks nobody")
        parser.add_argument(
            "--register", action="store_true", help="point the number's webhook at this site"
        )
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        number = _number(options["number"])
        if options["register"]:
            _register(number)
        findings = sms_examine(number=number, online=not options["offline"])
        errors = [finding for finding in findings if finding.result == "error"]
        values = {"ok": not errors, "findings": [asdict(finding) for finding in findings]}
        lines = [_line(finding) for finding in findings]
        if not errors:
            lines.append("Everything is in place.")
        self.report(values, "\n".join(lines), as_json=options["json"])
        if errors:
            raise CommandError(f"{len(errors)} thing{'s' if len(errors) > 1 else ''} to do.")


def _line(finding: Finding) -> str:
    line = f"{_MARKS[finding.result]}  {finding.name}: {finding.detail}"
    return f"{line}\n         -> {finding.next_step}" if finding.next_step else line


def _number(given: str) -> str:
    if not given or given.isdecimal():
        return given
    try:
        return number_parse(given)
    except NumberInvalid as error:
        raise CommandError(f"--number: {error}.") from error


def _register(number: str) -> None:
    if not (number and settings.PUBLIC_URL and client.is_configured()):
        raise CommandError(
            "--register needs --number, and PUBLIC_URL, TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN "
            "in the settings."
        )
    try:
        if not webhook_register(number=number):
            raise CommandError("The account has no such number.")
    except TwilioRestException as error:
        raise CommandError(
            f"Twilio refused to change the number: {error.status}, code {error.code}."
        ) from error
    except RequestException as error:
        raise CommandError(f"Twilio's API cannot be reached ({type(error).__name__}).") from error
