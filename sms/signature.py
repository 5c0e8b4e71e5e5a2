"""Whether a request comes from Twilio.

Twilio signs the URL it calls and the form it sends with the account's auth token
(https://www.twilio.com/docs/usage/security). Behind a proxy that ends TLS the URL it called is the
public one, not the one that arrives here.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from django.conf import settings
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from twilio.request_validator import RequestValidator

# A text of ten segments with ten attachments is under 8 kB.
BODY_LIMIT = 64 * 1024
FIELD_LIMIT = 200
FORM_TYPE = "application/x-www-form-urlencoded"


class RequestRefused(Exception):
    """A request that is not taken in: an HTTP status, and why in one line."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def form_verified(request: HttpRequest) -> MultiValueDict[str, str]:
    """The form of a request that Twilio signed.

    Raises RequestRefused: 503 no token is configured, 403 no signature or a wrong one, 415 not a
    form, 413 too large, 400 not whole or not UTF-8.
    """
    token = settings.ENV.twilio_auth_token
    if not token:
        raise RequestRefused(
            503, "Text messages are switched off: TWILIO_AUTH_TOKEN is not set. See docs/sms.md."
        )
    signature = request.headers.get("X-Twilio-Signature", "")
    if not signature:
        raise RequestRefused(403, "The X-Twilio-Signature header is missing.")
    form = _form(request)
    if not RequestValidator(token).validate(url_signed(request), form, signature):
        raise RequestRefused(
            403,
            "The signature does not match. PUBLIC_URL has to be the address Twilio calls, and "
            "TWILIO_AUTH_TOKEN the token of the account that calls it.",
        )
    return form


def url_signed(request: HttpRequest) -> str:
    """The URL as Twilio called it. Without PUBLIC_URL, on a developer's machine, the one asked."""
    base = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
    query = request.META.get("QUERY_STRING", "")
    return f"{base}{request.path}{'?' if query else ''}{query}"


def _form(request: HttpRequest) -> MultiValueDict[str, str]:
    if request.content_type != FORM_TYPE:
        raise RequestRefused(415, f"The body has to be {FORM_TYPE}.")
    body = _body(request)
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELD_LIMIT
        )
    except UnicodeDecodeError as error:
        raise RequestRefused(400, "The body is not UTF-8.") from error
    except ValueError as error:
        raise RequestRefused(400, f"The form has more than {FIELD_LIMIT} fields.") from error
    form: MultiValueDict[str, str] = MultiValueDict()
    for name, value in pairs:
        form.appendlist(name, value)
    return form


def _body(request: HttpRequest) -> bytes:
    announced = request.META.get("CONTENT_LENGTH") or ""
    too_large = RequestRefused(413, f"The body is larger than {BODY_LIMIT} bytes.")
    if announced.isdecimal() and int(announced) > BODY_LIMIT:
        raise too_large
    body: bytes = request.read(BODY_LIMIT + 1)
    if len(body) > BODY_LIMIT:
        raise too_large
    if announced.isdecimal() and len(body) < int(announced):
        raise RequestRefused(400, "The body is shorter than its Content-Length.")
    return body
