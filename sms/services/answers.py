"""From what is owed to what is handed to Twilio.

An answer is handed over once, in one of two ways: in the answer to Twilio's request, or through the
REST API. Whoever does it first takes the row with one `UPDATE … WHERE state = 'owed'`; the other
finds it taken.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from conversations.models import RETRIABLE, UNFINISHED, Message, Status
from conversations.services.database import db_read, db_write
from conversations.services.errors import ServiceError
from conversations.services.replies import reply_end
from sms import client, wording
from sms.models import UNSETTLED, Answer, State
from sms.services.inbound import answer_write, chat_send
from sms.services.threads import answers_cancel, threads_closed

logger = logging.getLogger(__name__)

# A reply that failed or was cut off by a restart is written again this often.
RUNS = 3
TURN_POLL_SECONDS = 0.1
DUE_AT_ONCE = 100
# Where a full engine does not say how long it will be.
BUSY_SECONDS = 1.0


async def answer_before_deadline(*, answer_id: UUID, deadline: float) -> Answer:
    """Wait for an answer as long as Twilio can be kept waiting, and take it if it is ready.

    `deadline` is a time of the event loop's clock. Returns the row as it is then: `answered` with
    the text to give, however many copies of the request ask; any other state means that the REST
    API brings it, now or later.
    """
    try:
        async with asyncio.timeout_at(deadline):
            await answer_finish(answer_id=answer_id)
            while True:
                if await db_read(_is_next, answer_id):
                    break
                await asyncio.sleep(TURN_POLL_SECONDS)  # an earlier text is answered first
    except TimeoutError:
        return await db_write(_leave_to_rest, answer_id)
    # Outside the deadline: what is taken is given.
    return await db_write(_take, answer_id)


async def answer_finish(*, answer_id: UUID) -> None:
    """Wait until an answer has its text, starting its reply if nobody writes it.

    A full engine is waited for, however long it takes; whoever has a deadline leaves then.
    """
    run = 1
    while True:
        answer = await db_read(_with_reply, answer_id)
        reply = answer.reply
        if answer.text or reply is None:
            return
        is_last = run == RUNS
        if reply.status in RETRIABLE and not await db_write(_again, answer, reply):
            is_last = True
        elif reply.status in (*UNFINISHED, *RETRIABLE):
            ended = await reply_end(reply_id=reply.pk)
            if ended.error_code == "busy":
                await asyncio.sleep(ended.retry_after or BUSY_SECONDS)
                continue
        if await db_write(_shape, answer_id, is_last=is_last):
            return
        run += 1


def answer_take_for_rest(*, answer_id: UUID) -> Answer | None:
    """Take a due answer in order to send it; None when it is not to be sent now: it is taken, not
    due, or an earlier one of its thread is still on its way; or never, as nothing is wanted there.
    """
    if not _is_next(answer_id):
        return None
    # STOP or a block may have come while an earlier attempt was on its way, which then failed.
    answers_cancel(threads=threads_closed().filter(answers=answer_id))
    now = timezone.now()
    taken = Answer.objects.filter(pk=answer_id, state=State.OWED, due_at__lte=now).update(
        state=State.SENDING, claimed_at=now, attempts=F("attempts") + 1
    )
    return _with_reply(answer_id) if taken else None


def _is_next(answer_id: UUID) -> bool:
    """Whether no earlier answer of its thread is still on its way. Once true it stays so: later
    texts get later rows, and what is settled is never owed again."""
    return _next_of_threads().filter(pk=answer_id).exists()


def _next_of_threads() -> QuerySet[Answer]:
    """The answers that no earlier one of their thread is to come before.

    Without credentials for the REST API an earlier one that missed its request never comes.
    """
    earlier = Answer.objects.filter(
        thread=OuterRef("thread"), inbound_id__lt=OuterRef("inbound_id"), state__in=UNSETTLED
    )
    if not client.is_configured():
        earlier = earlier.exclude(state=State.OWED, due_at__lte=timezone.now())
    return Answer.objects.filter(~Exists(earlier))


def _take(answer_id: UUID) -> Answer:
    now = timezone.now()
    # What Twilio may have already is left to the worker, which asks first.
    ready = Answer.objects.filter(pk=answer_id, state=State.OWED, is_uncertain=False)
    ready.exclude(text="").update(
        state=State.ANSWERED, claimed_at=now, handed_over_at=now, due_at=None
    )
    return _with_reply(answer_id)


def _leave_to_rest(answer_id: UUID) -> Answer:
    now = timezone.now()
    Answer.objects.filter(pk=answer_id, state=State.OWED, due_at__gt=now).update(due_at=now)
    return _with_reply(answer_id)


def _with_reply(answer_id: UUID) -> Answer:
    rows = Answer.objects.select_related("reply__conversation", "thread__contact", "inbound")
    return rows.get(pk=answer_id)


def _again(answer: Answer, reply: Message) -> bool:
    """Set back a reply that failed or was cut off, so that it is written again."""
    question = Message.objects.get(reply=reply)
    try:
        chat_send(conversation=reply.conversation, text=question.text, sid=answer.inbound.sid)
    except ServiceError:
        logger.exception("answer %s: its reply cannot be written again", answer.pk)
        return False
    return True


def _shape(answer_id: UUID, *, is_last: bool) -> bool:
    """Write the finished reply into the answer. False: it is worth writing it again."""
    answer = _with_reply(answer_id)
    reply = answer.reply
    if answer.text or reply is None:
        return True
    is_over = reply.status in (Status.COMPLETE, Status.STOPPED)
    if not is_over and not is_last:
        return False
    if not is_over:
        logger.error("answer %s: reply %s ended %s", answer.pk, reply.pk, reply.status)
    said = reply.text.strip() if is_over else ""
    answer_write(answer=answer, says=said or wording.NO_WORDS)
    Answer.objects.filter(pk=answer_id, text="").update(
        text=answer.text, encoding=answer.encoding, segments=answer.segments
    )
    return True


def answers_due(*, now: datetime) -> list[UUID]:
    """Answers to be sent through the REST API now, the oldest first, one of each thread."""
    due = _next_of_threads().filter(state=State.OWED, due_at__lte=now).order_by("inbound_id")
    return list(due.values_list("pk", flat=True)[:DUE_AT_ONCE])
