"""The other end of the line: texts as Twilio would bring them to the webhook. For trying the site
without Twilio."""

from __future__ import annotations

import secrets
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from twilio.request_validator import RequestValidator

from sms.numbers import WHATSAPP, Address
from sms.signature import FORM_TYPE


def our_number() -> str:
    """The number that is texted: the site's; where it has none, one that nobody has."""
    return settings.ENV.sms_number or "+14155550100"


def incoming_form(
    sender: Address,
    to: str,
    body: str,
    *,
    sid: str | None = None,
    media: Sequence[str] = (),
    opt_out: str = "",
) -> dict[str, str]:
    """The form that brings a text. `media` are the types of its attachments; without `sid` it is a
    new text."""
    if sender.whatsapp and not to.startswith(WHATSAPP):
        to = f"{WHATSAPP}{to}"
    sid = sid or f"{'MM' if media else 'SM'}{secrets.token_hex(16)}"
    form = {
        "MessageSid": sid,
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "SmsStatus": "received",
        "AccountSid": settings.ENV.twilio_account_sid or f"AC{'0' * 32}",
        "From": str(sender),
        "To": to,
        "Body": body,
        "NumMedia": str(len(media)),
        "NumSegments": "1",
        "ApiVersion": "2010-04-01",
    }
    for number, kind in enumerate(media):
        form[f"MediaContentType{number}"] = kind
        form[f"MediaUrl{number}"] = f"https://api.twilio.com/2010-04-01/Media/ME{number}"
    if opt_out:
        form["OptOutType"] = opt_out
    return form


def signed(form: dict[str, str], *, token: str, public_url: str) -> tuple[str, dict[str, str]]:
    """Where to post the form, and the headers to post it with: signed for the public URL, and with
    what the proxy before the server would add, so that it may go straight to the server."""
    path = reverse("sms:incoming")
    public = urlsplit(public_url)
    signature = RequestValidator(token).compute_signature(
        f"{public.scheme}://{public.netloc}{path}", form
    )
    return path, {
        "Host": public.netloc,
        "Content-Type": FORM_TYPE,
        "User-Agent": "TwilioProxy/1.1",
        "X-Forwarded-Proto": public.scheme,
        "X-Twilio-Signature": signature,
    }


def messages_parse(body: str) -> list[str]:
    """The texts in the TwiML that the server answers; none when it is something else."""
    try:
        root = ET.fromstring(body)  # noqa: S314 - our own server's answer
    except ET.ParseError:
        return []
    return [message.text or "" for message in root.iter("Message")]
