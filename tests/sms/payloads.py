"""Forms in the shapes that Twilio documents, and how Twilio signs them."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

PUBLIC = "https://chat.example.org"
TOKEN = "a-token-for-tests"
ACCOUNT = f"AC{'1' * 32}"
PERSON = "+14155550123"
OURS = "+14155550100"
INCOMING, STATUS = "/sms/incoming/", "/sms/status/"


def sms(body: str = "hello", **fields: str) -> dict[str, str]:
    """https://www.twilio.com/docs/messaging/guides/webhook-request"""
    sid = fields.pop("MessageSid", f"SM{secrets.token_hex(16)}")
    return {
        "ToCountry": "US",
        "ToState": "CA",
        "SmsMessageSid": sid,
        "NumMedia": "0",
        "ToCity": "",
        "FromZip": "94105",
        "SmsSid": sid,
        "FromState": "CA",
        "SmsStatus": "received",
        "FromCity": "SAN FRANCISCO",
        "Body": body,
        "FromCountry": "US",
        "To": OURS,
        "ToZip": "",
        "NumSegments": "1",
        "MessageSid": sid,
        "AccountSid": ACCOUNT,
        "From": PERSON,
        "ApiVersion": "2010-04-01",
    } | fields


def mms(body: str = "", **fields: str) -> dict[str, str]:
    """A text with a picture."""
    return sms(
        body,
        MessageSid=f"MM{secrets.token_hex(16)}",
        NumMedia="1",
        MediaContentType0="image/jpeg",
        MediaUrl0=f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1/Media/ME1",
        **fields,
    )


def whatsapp(body: str = "hello", **fields: str) -> dict[str, str]:
    """https://www.twilio.com/docs/whatsapp/tutorial/send-and-receive-media-messages-whatsapp"""
    form = sms(body, From=f"whatsapp:{PERSON}", To=f"whatsapp:{OURS}", **fields)
    return form | {"ProfileName": "Ada 🌻", "WaId": PERSON.removeprefix("+"), "MessageType": "text"}


def opt_out(word: str, kind: str) -> dict[str, str]:
    """https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out"""
    return sms(word, OptOutType=kind, MessagingServiceSid=f"MG{'2' * 32}")


def status(sid: str, state: str, error: str = "") -> dict[str, str]:
    """https://www.twilio.com/docs/messaging/guides/track-outbound-message-status"""
    form = {
        "SmsSid": sid,
        "SmsStatus": state,
        "MessageStatus": state,
        "To": PERSON,
        "MessageSid": sid,
        "AccountSid": ACCOUNT,
        "From": OURS,
        "ApiVersion": "2010-04-01",
    }
    return form | ({"ErrorCode": error} if error else {})


def sign(url: str, form: dict[str, str], token: str = TOKEN) -> str:
    return str(RequestValidator(token).compute_signature(url, form))


def encode(form: dict[str, str]) -> bytes:
    return urlencode(form).encode()
