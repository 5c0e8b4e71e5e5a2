"""The answer to Twilio's request (https://www.twilio.com/docs/messaging/twiml)."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.urls import reverse
from twilio.twiml.messaging_response import MessagingResponse

EMPTY = str(MessagingResponse())


def status_callback_url(answer_id: UUID) -> str | None:
    """Where Twilio reports what becomes of an answer; None when it could not reach this site.

    The answer's id in the URL ties the reports to it even when they arrive before Twilio's own id
    of the text is known here.
    """
    if not settings.PUBLIC_URL:
        return None
    return f"{settings.PUBLIC_URL}{reverse('sms:status')}?answer={answer_id}"


def twiml_message(text: str, answer_id: UUID) -> str:
    """TwiML that sends one text back."""
    response = MessagingResponse()
    response.message(text, status_callback=status_callback_url(answer_id))
    return str(response)
