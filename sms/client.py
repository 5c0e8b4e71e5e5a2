"""Twilio's REST API, through Twilio's own library.

Every outcome of a send falls into one of four, because what may be done next depends on it: a text
must never go out twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.conf import settings
from requests import exceptions as http
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

logger = logging.getLogger(__name__)

OFFICIAL_BASE = "https://api.twilio.com"
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Sent:
    """Twilio took it."""

    sid: str
    status: str
    error_code: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Twilio will not take it, now or later: 21610 opted out, 30006 a landline, …"""

    code: str


@dataclass(frozen=True, slots=True)
class TryLater:
    """Not now: 429, 5xx, no connection. `is_uncertain`: it may have been taken all the same."""

    code: str
    is_uncertain: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request went out and no answer came back."""

    code: str


Outcome = Sent | Refused | TryLater | Unknown
T = TypeVar("T")


class RelocatedHttpClient(TwilioHttpClient):
    """Calls another base URL in place of api.twilio.com: a region, an edge, a test server."""

    def __init__(self, base: str, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self.base = base

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        url = self.base + url.removeprefix(OFFICIAL_BASE)
        return super().request(method, url, *args, **kwargs)


def twilio_client() -> Client:
    """Twilio's client for the configured account and address."""
    env = settings.ENV
    base = env.twilio_api_base
    carrier = RelocatedHttpClient(base, TIMEOUT) if base else TwilioHttpClient(timeout=TIMEOUT)
    return Client(env.twilio_account_sid, env.twilio_auth_token, http_client=carrier)


def is_configured() -> bool:
    """Whether the REST API can be used at all."""
    return bool(settings.ENV.twilio_account_sid and settings.ENV.twilio_auth_token)


def message_create(
    *, sender: str, receiver: str, body: str, status_callback: str | None
) -> Outcome:
    """Send a text. Never raises for what Twilio or the network does."""

    def create() -> Sent:
        extra = {"status_callback": status_callback} if status_callback else {}
        sent = twilio_client().messages.create(to=receiver, from_=sender, body=body, **extra)
        return Sent(sent.sid, str(sent.status or ""), str(sent.error_code or ""))

    return _outcome(create)


def message_find(*, sender: str, receiver: str, body: str, since: datetime) -> Outcome | None:
    """The text if Twilio has it, None if it does not, TryLater or Unknown if it will not say.

    Looks for the same words between the same numbers since `since` (a trial account puts a line
    of its own before them).
    """

    def find() -> Sent | None:
        # The newest come first. Twilio's filter by date leaves out what still waits to be sent.
        for sent in twilio_client().messages.list(to=receiver, from_=sender, limit=100):
            if str(sent.body or "").endswith(body) and sent.date_created >= since.replace(
                microsecond=0
            ):
                return Sent(sent.sid, str(sent.status or ""), str(sent.error_code or ""))
        return None

    return _outcome(find)


def _outcome(call: Callable[[], T]) -> T | Refused | TryLater | Unknown:
    try:
        return call()
    except TwilioRestException as error:
        code = str(error.code or error.status)
        if error.status == 429:
            return TryLater(code, is_uncertain=False)
        return TryLater(code, is_uncertain=True) if error.status >= 500 else Refused(code)
    except http.RequestException as error:
        if _never_left(error):
            return TryLater("connection", is_uncertain=isinstance(error, http.SSLError))
        return Unknown("timeout" if isinstance(error, http.Timeout) else "connection")
    except (TwilioException, ValueError, KeyError, TypeError):
        # An answer that is not Twilio's; the traceback names no number.
        logger.exception("Twilio's API answered something that cannot be read")
        return Unknown("unreadable")


def _never_left(error: http.RequestException) -> bool:
    """Whether the connection failed before anything was asked."""
    if isinstance(error, http.ConnectTimeout | http.SSLError | http.ProxyError):
        return True
    reason = error.args[0] if error.args else None
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
