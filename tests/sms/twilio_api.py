"""A server on this machine that speaks the shapes of Twilio's REST API."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from django.utils import timezone

# How the next requests to send a text end; "sent" when the script is empty.
# A number: that HTTP status; (status, code): with Twilio's error code;
# "lost": taken, and the connection ends without an answer; "taken 500": taken, answered 500.
Step = str | int | tuple[int, int]


class TwilioApi:
    def __init__(self) -> None:
        self.script: list[Step] = []
        self.texts: list[dict[str, Any]] = []
        self.attempts = 0
        self.numbers: list[dict[str, Any]] = []
        self.account_status = "active"
        self.is_strange = False  # it does not know the account
        self.base = ""

    def take(self, form: dict[str, str]) -> dict[str, Any]:
        now = format_datetime(timezone.now())
        text = {
            "sid": f"SM{secrets.token_hex(16)}",
            "to": form["To"],
            "from": form["From"],
            "body": form["Body"],
            "status_callback": form.get("StatusCallback"),
            "status": "queued",
            "error_code": None,
            "date_created": now,
            "date_sent": None,  # it waits in Twilio's queue
            "date_updated": now,
            "direction": "outbound-api",
        }
        self.texts.append(text)
        return text


class Handler(BaseHTTPRequestHandler):
    api: ClassVar[TwilioApi]

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        if self.api.is_strange:
            self._answer(401, {"code": 20003, "message": "Authenticate", "status": 401})
        elif place.path.endswith("/Messages.json"):
            found = [text for text in self.api.texts if text["to"] == query["To"]]
            if "DateSent>" in query:
                found = [text for text in found if text["date_sent"]]
            self._answer(200, {"messages": found, "page": 0, "page_size": 50})
        elif place.path.endswith("/IncomingPhoneNumbers.json"):
            wanted = query.get("PhoneNumber")
            owned = [n for n in self.api.numbers if wanted in (None, n["phone_number"])]
            self._answer(200, {"incoming_phone_numbers": owned, "page": 0, "page_size": 50})
        else:
            self._answer(200, {"sid": "AC", "status": self.api.account_status})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        if "/IncomingPhoneNumbers/" in self.path:
            number = self.api.numbers[0]
            number.update(sms_url=form["SmsUrl"], sms_method=form["SmsMethod"])
            number["sms_application_sid"] = form.get("SmsApplicationSid", "")
            self._answer(200, number)
        else:
            self._message(form)

    def _message(self, form: dict[str, str]) -> None:
        self.api.attempts += 1
        step = self.api.script.pop(0) if self.api.script else "sent"
        text = self.api.take(form) if isinstance(step, str) else {}
        if step == "lost":
            self.close_connection = True
        elif step == "sent":
            self._answer(201, text)
        else:
            if step == "taken 500":
                step = 500
            status, code = step if isinstance(step, tuple) else (int(step), 20000 + int(step))
            message = f"The 'To' number {form['To']} has a problem."
            error = {"code": code, "message": message, "status": status}
            self._answer(status, error | {"more_info": "https://www.twilio.com/docs/errors"})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def twilio_api_serving() -> Iterator[TwilioApi]:
    api = TwilioApi()
    handler = type("ApiHandler", (Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.base = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
