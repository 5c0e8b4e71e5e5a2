"""`manage.py simulate_sms`: text the running server without Twilio."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from conversations.management.base import ManualCommand
from conversations.management.options import server_url
from sms.numbers import NumberInvalid, address_parse
from sms.texting import incoming_form, messages_parse, our_number, signed

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
            default=our_number(),
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
            type=server_url,
            default=f"http://127.0.0.1:{settings.ENV.port}",
            metavar="URL",
            help="where the server listens (%(default)s)",
        )
        self.add_json(parser)

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
        sid = form["MessageSid"]
        values = {"status": status, "sid": sid, "body": body, "messages": messages_parse(body)}
        text = f"HTTP {status}  {sid}\n{body.strip() or '(no body)'}"
        self.report(values, text, as_json=options["json"])
        if not 200 <= status < 300:
            raise CommandError(f"The server answered {status}.")


def _form(options: dict[str, Any]) -> dict[str, str]:
    try:
        sender = address_parse(options["sender"])
    except NumberInvalid as error:
        raise CommandError(f"--from: {error}.") from error
    return incoming_form(
        sender,
        options["to"],
        options["text"],
        sid=options["sid"],
        media=options["media"],
        opt_out=options["opt_out_type"] or "",
    )


def _post(server: str, form: dict[str, str], token: str) -> tuple[int, str]:
    """Send the form, signed for the public URL, to where the server really listens."""
    path, headers = signed(form, token=token, public_url=settings.PUBLIC_URL or server)
    place = urlsplit(server)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.netloc, timeout=30)
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
