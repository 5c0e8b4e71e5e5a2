"""What Twilio's forms say (https://www.twilio.com/docs/messaging/guides/webhook-request)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from django.utils.datastructures import MultiValueDict

from sms.numbers import Address, NumberInvalid, address_parse
from sms.signature import RequestRefused

Form = MultiValueDict[str, str]
_SID = re.compile(r"[A-Za-z0-9]{2,64}")
_STATUS = re.compile(r"[a-z_-]{1,20}")


@dataclass(frozen=True, slots=True)
class IncomingText:
    """A text as it arrived."""

    sid: str
    sender: Address
    receiver: Address
    body: str
    media_count: int = 0
    segments: int = 1
    opt_out_type: str = ""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What became of a sent text. `answer_id` is ours, from the URL; None when it has none."""

    sid: str
    status: str
    error_code: str
    answer_id: UUID | None


def incoming_parse(form: Form) -> IncomingText:
    """The fields of an incoming text. Raises RequestRefused (400) with the field's name."""
    return IncomingText(
        sid=_sid(form, "MessageSid", "SmsMessageSid", "SmsSid"),
        sender=_address(form, "From"),
        receiver=_address(form, "To", short_code=True),
        body=form.get("Body", ""),
        media_count=_number(form, "NumMedia", 0),
        segments=_number(form, "NumSegments", 1),
        opt_out_type=form.get("OptOutType", "")[:20],
    )


def status_parse(form: Form, answer_id: str) -> StatusReport:
    """The fields of a status callback. Raises RequestRefused (400) with the field's name."""
    status = (form.get("MessageStatus") or form.get("SmsStatus") or "").lower()
    if not _STATUS.fullmatch(status):
        raise RequestRefused(400, "MessageStatus is missing or is no status.")
    error_code = form.get("ErrorCode", "")
    if error_code and not re.fullmatch(r"\d{1,10}", error_code):
        raise RequestRefused(400, "ErrorCode has to be a number.")
    try:
        known = UUID(answer_id) if answer_id else None
    except ValueError:
        known = None
    return StatusReport(_sid(form, "MessageSid", "SmsSid"), status, error_code, known)


def _sid(form: Form, *names: str) -> str:
    sid = next((value for name in names if (value := form.get(name, ""))), "")
    if not _SID.fullmatch(sid):
        raise RequestRefused(400, f"{names[0]} is missing or is no SID.")
    return sid


def _address(form: Form, name: str, *, short_code: bool = False) -> Address:
    try:
        return address_parse(form.get(name, ""), short_code=short_code)
    except NumberInvalid as error:
        raise RequestRefused(400, f"{name} cannot be answered: {error}.") from error


def _number(form: Form, name: str, default: int) -> int:
    value = form.get(name, "") or str(default)
    if not re.fullmatch(r"\d{1,3}", value, re.ASCII):
        raise RequestRefused(400, f"{name} has to be a number.")
    return int(value)
