"""`manage.py simulate_sms`: text the running server without Twilio."""

from __future__ import annotations

import http.client
import json
import secrets
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from twilio.request_validator import RequestValidator

from conversations.management.base import ManualCommand
from sms.numbers import NumberInvalid, address_parse

HELP = """Texts the running server as Twilio would: a real HTTP request, signed with your token.

No Twilio account is needed, only a TWILIO_AUTH_TOKEN that this command and the server share; for a
try at home any word will do:

  TWILIO_AUTH_TOKEN=at-home bin/serve
  TWILIO_AUTH_TOKEN=at-home .venv/bin/python manage.py simulate_sms --from +14155550123 "hello"

  simulate_sms --from +14155550123 /reset                       another character
  simulate_sms --from +14155550123 --sid SM1234 "hello"         twice: Twilio's retry, same answer
  simulate_sms --from +14155550123 --forged "hello"             a wrong signature: 403
  simulate_sms --from whatsapp:+14155550123 "hello"             through WhatsApp
  simulate_sms --from +14155550123 --media image/jpeg ""        a picture
  simulate_sms --from +14155550123 --opt-out-type STOP STOP     Advanced Opt-Out

Prints the status and the TwiML. Ends with status 1 unless the server answered 2xx.
"""


class Command(ManualCommand):
    help = HELP
    # Advice on settings belongs to `check` and `sms_doctor`, not before every answer.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("text", help="what the text says; quote it")
        parser.add_argument(
            "--from", dest="sender", required=True, metavar="NUMBER", help="+1… or whatsapp:+1…"
        )
        parser.add_argument(
            "--to",
            metavar="NUMBER",
            default=settings.ENV.sms_number or "+14155550100",
            help="your number (CHATBOT_SMS_NUMBER, else +14155550100)",
        )
        parser.add_argument("--sid", help="MessageSid (a new one each time)")
        parser.add_argument(
            "--media", action="append", default=[], metavar="TYPE", help="attach a file: image/jpeg"
        )
        parser.add_argument("--opt-out-type", choices=["STOP", "START", "HELP"])
        parser.add_argument("--forged", action="store_true", help="sign it with a wrong token")
        parser.add_argument(
            "--server",
            default=f"http://127.0.0.1:{settings.ENV.port}",
            metavar="URL",
            help="where the server listens (%(default)s)",
        )
        parser.add_argument("--json", action="store_true", help="end in one JSON line")

    def run(self, **options: Any) -> None:
        token = settings.ENV.twilio_auth_token
        if not token:
            raise CommandError(
                "TWILIO_AUTH_TOKEN is not set. Put the same value (any word, for a try at home) "
                "into .env for the server and this command."
            )
        form = _form(options)
        status, body = _post(
            options["server"], form, "not the token" if options["forged"] else token
        )
        if options["json"]:
            report = {"status": status, "sid": form["MessageSid"], "body": body}
            self.stdout.write(json.dumps({**report, "messages": _messages(body)}))
        else:
            self.stdout.write(f"HTTP {status}  {form['MessageSid']}")
            self.stdout.write(body.strip() or "(no body)")
        if not 200 <= status < 300:
            raise CommandError(f"The server answered {status}.")


def _form(options: dict[str, Any]) -> dict[str, str]:
    try:
        sender = address_parse(options["sender"])
    except NumberInvalid as error:
        raise CommandError(f"--from: {error}.") from error
    to = options["to"]
    if sender.whatsapp and not to.startswith("whatsapp:"):
        to = f"whatsapp:{to}"
    sid = options["sid"] or f"{'MM' if options['media'] else 'SM'}{secrets.token_hex(16)}"
    form = {
        "MessageSid": sid,
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "SmsStatus": "received",
        "AccountSid": settings.ENV.twilio_account_sid or f"AC{'0' * 32}",
        "From": str(sender),
        "To": to,
        "Body": options["text"],
        "NumMedia": str(len(options["media"])),
        "NumSegments": "1",
        "ApiVersion": "2010-04-01",
    }
    for number, kind in enumerate(options["media"]):
        form[f"MediaContentType{number}"] = kind
        form[f"MediaUrl{number}"] = f"https://api.twilio.com/2010-04-01/Media/ME{number}"
    if options["opt_out_type"]:
        form["OptOutType"] = options["opt_out_type"]
    return form


def _post(server: str, form: dict[str, str], token: str) -> tuple[int, str]:
    """Send the form signed for the public URL to where the server really listens, with the headers
    that the proxy before it would add."""
    path = reverse("sms:incoming")
    place = urlsplit(server)
    public = urlsplit(settings.PUBLIC_URL or server)
    headers = {
        "Host": public.netloc,
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "TwilioProxy/1.1",
        "X-Forwarded-Proto": public.scheme,
        "X-Twilio-Signature": RequestValidator(token).compute_signature(
            f"{public.scheme}://{public.netloc}{path}", form
        ),
    }
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    if not place.hostname:
        raise CommandError(f"--server: {server!r} is not a URL; write http://127.0.0.1:8000")
    connection = kind(place.hostname, place.port, timeout=30)
    try:
        connection.request("POST", path, urlencode(form), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError as error:
        raise CommandError(
            f"No server answers at {server}: {error}. Start it with bin/serve, or name another "
            "with --server."
        ) from error
    finally:
        connection.close()


def _messages(body: str) -> list[str]:
    try:
        root = ET.fromstring(body)  # noqa: S314 - our own server's answer
    except ET.ParseError:
        return []
    return [message.text or "" for message in root.iter("Message")]
