"""What became of a sent text, as Twilio's status callbacks tell it: several times, in any order."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import Error, transaction
from django.db.models import Q
from django.utils import timezone

from conversations.services.errors import StorageUnavailable
from sms.models import Answer, DeliveryEvent, State, Thread
from sms.payload import StatusReport

logger = logging.getLogger(__name__)

# How far along a text is. A later report of an earlier stage changes nothing; of the three ways to
# end, the first one told stays.
_RANK = {
    "accepted": 0,
    "scheduled": 0,
    "queued": 1,
    "sending": 2,
    "sent": 3,
    "delivered": 4,
    "undelivered": 4,
    "failed": 4,
    "canceled": 4,
    "read": 5,
}
BAD_STATUSES = ("undelivered", "failed", "canceled")
OPTED_OUT = "21610"  # twilio.com/docs/api/errors/21610


def status_record(*, report: StatusReport) -> None:
    """Take in one status callback; the same one again changes nothing.

    Raises StorageUnavailable when nothing can be saved.
    """
    try:
        status_note(
            answer_id=report.answer_id,
            sid=report.sid,
            status=report.status,
            error_code=report.error_code,
        )
    except Error as error:
        raise StorageUnavailable from error


@transaction.atomic
def status_note(*, answer_id: UUID | None, sid: str, status: str, error_code: str = "") -> None:
    """Keep a stage in the history, and as the answer's present one if it is the furthest yet.

    A report of a text that is not known here (sent by another program with the same account) is
    kept on its own; it is tied to its answer when that turns out to have this id.
    """
    answer = _answer(answer_id, sid)
    if status:
        DeliveryEvent.objects.get_or_create(
            sid=sid, status=status, defaults={"error_code": error_code}
        )
    if answer is None:
        return
    untied = DeliveryEvent.objects.filter(sid=sid, answer=None)
    # Asked of what is new here alone: the person may have texted START since the first report.
    opted_out = untied.filter(error_code=OPTED_OUT).exists()
    untied.update(answer=answer)
    row = Answer.objects.filter(pk=answer.pk)
    row.filter(sid="").update(sid=sid)
    # A report is the proof that an attempt of unknown outcome went out.
    row.filter(state__in=(State.OWED, State.SENDING, State.UNKNOWN)).update(
        state=State.SENT, handed_over_at=timezone.now(), due_at=None, error_code=""
    )
    for event in DeliveryEvent.objects.filter(sid=sid).order_by("id"):
        rank = _RANK.get(event.status, -1)
        row.filter(Q(sid=sid), delivery_rank__lt=rank).update(
            delivery_status=event.status, delivery_rank=rank, error_code=event.error_code
        )
    if opted_out:
        Thread.objects.filter(pk=answer.thread_id).update(opted_out_at=timezone.now())


def _answer(answer_id: UUID | None, sid: str) -> Answer | None:
    # Locked, so that two reports at once do not each overlook the other's event.
    rows = Answer.objects.select_for_update()
    found = rows.filter(pk=answer_id).first() if answer_id else None
    return found or rows.filter(sid=sid).first()
