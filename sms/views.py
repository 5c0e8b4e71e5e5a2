"""Twilio's two webhooks."""

from __future__ import annotations

import asyncio
import logging

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from conversations.services.database import db_write
from conversations.services.errors import StorageUnavailable
from conversations.services.replies import ReplyUnknown
from sms import client
from sms.models import Answer, Kind, State
from sms.payload import incoming_parse, status_parse
from sms.services.answers import answer_before_deadline
from sms.services.inbound import text_receive
from sms.services.status import status_record
from sms.services.worker import Worker
from sms.signature import RequestRefused, form_verified
from sms.twiml import EMPTY, twiml_message

logger = logging.getLogger(__name__)


@csrf_exempt
@require_POST
async def incoming(request: HttpRequest) -> HttpResponse:
    """A text has come in: answer it with TwiML, or with empty TwiML and later."""
    # Twilio waits from here on, however long it takes to save the text.
    deadline = asyncio.get_running_loop().time() + settings.ENV.sms_deadline
    try:
        text = incoming_parse(form_verified(request))
        receipt = await db_write(text_receive, text=text)
    except RequestRefused as error:
        return _refused(request, error)
    except StorageUnavailable as error:
        logger.exception("a text could not be saved")
        return _refused(request, RequestRefused(503, error.detail))
    if receipt.inbound.kind == Kind.EMPTY:
        return HttpResponse(status=204)
    if receipt.answer is None:
        return _twiml(EMPTY)
    try:
        answer = await answer_before_deadline(answer_id=receipt.answer.pk, deadline=deadline)
    except (Answer.DoesNotExist, ReplyUnknown):
        return _twiml(EMPTY)  # the conversation was deleted meanwhile
    if answer.state == State.ANSWERED:
        return _twiml(twiml_message(answer.text, answer.pk))
    if answer.state == State.OWED and client.is_configured():
        Worker.here().deliver(answer.pk)
    return _twiml(EMPTY)


@csrf_exempt
@require_POST
async def status(request: HttpRequest) -> HttpResponse:
    """Twilio tells what became of a text."""
    try:
        report = status_parse(form_verified(request), request.GET.get("answer", ""))
        await db_write(status_record, report=report)
    except RequestRefused as error:
        return _refused(request, error)
    except StorageUnavailable as error:
        logger.exception("a report about a text could not be saved")
        return _refused(request, RequestRefused(503, error.detail))
    return HttpResponse(status=204)


def _twiml(body: str) -> HttpResponse:
    return HttpResponse(body, content_type="text/xml; charset=utf-8")


def _refused(request: HttpRequest, error: RequestRefused) -> HttpResponse:
    logger.warning("%s refused with %d: %s", request.path, error.status, error.detail)
    return HttpResponse(
        f"{error.detail}\n", status=error.status, content_type="text/plain; charset=utf-8"
    )
