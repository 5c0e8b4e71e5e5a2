"""Sending what is owed through Twilio's REST API, never twice.

| outcome | what happens |
|---|---|
| taken | `sent`, with Twilio's id |
| refused (4xx but 429) | `failed`, with Twilio's code; 21610 also marks the thread opted out |
| 429, no connection | owed again after a pause |
| 5xx | owed again after a pause; before the next attempt Twilio is asked whether it has the text |
| no answer, or a process that died while sending | `unknown`: never sent again. Twilio is asked
  later whether it has the text, and a status callback settles it too |
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from conversations.services.database import db_read, db_write
from sms import client
from sms.client import Outcome, Sent, TryLater, Unknown
from sms.models import Answer, State, Thread
from sms.services.answers import answer_take_for_rest
from sms.services.status import OPTED_OUT, status_note
from sms.twiml import status_callback_url

logger = logging.getLogger(__name__)

# Seconds before each further attempt: about two hours in all.
PAUSES = (2, 10, 60, 300, 1800, 5400)
# A send takes at most the client's time-out twice; after this its process is gone.
SENDING_PATIENCE = timedelta(minutes=2)
LOOK_AFTER = timedelta(minutes=1)


async def answer_deliver(*, answer_id: UUID) -> State | None:
    """Send an answer that has its text. Returns the state it is in afterwards; None when there was
    nothing to send: somebody else does it, or it is not its turn."""
    answer = await db_write(answer_take_for_rest, answer_id=answer_id)
    if answer is None:
        return None
    outcome = await asyncio.to_thread(_send, answer)
    return await db_write(_settle, answer, outcome)


def answers_give_up(*, now: datetime) -> int:
    """Mark what a dead process was sending as unknown. Returns how many."""
    return Answer.objects.filter(
        state=State.SENDING, claimed_at__lte=now - SENDING_PATIENCE
    ).update(state=State.UNKNOWN, error_code="interrupted", due_at=now)


async def answers_look_up(*, now: datetime) -> int:
    """Ask Twilio once about answers whose outcome is unknown. Returns how many it has."""
    found = 0
    for answer in await db_read(_unknown, now):
        outcome = await asyncio.to_thread(_find, answer)
        found += await db_write(_looked_up, answer, outcome) == State.SENT
    return found


def _unknown(now: datetime) -> list[Answer]:
    unknown = Answer.objects.filter(state=State.UNKNOWN, due_at__lte=now)
    return list(unknown.select_related("thread__contact").order_by("due_at")[:20])


def _looked_up(answer: Answer, outcome: Outcome | None) -> State:
    if isinstance(outcome, Sent):
        return _settle(answer, outcome)
    will_not_say = isinstance(outcome, TryLater | Unknown)
    Answer.objects.filter(pk=answer.pk, state=State.UNKNOWN).update(
        due_at=timezone.now() + 5 * LOOK_AFTER if will_not_say else None
    )
    return State.UNKNOWN


def _send(answer: Answer) -> Outcome:
    if answer.is_uncertain:
        seen = _find(answer)
        if isinstance(seen, Sent):
            return seen
        if seen is not None:  # it will not say, so nothing is sent now
            return TryLater(seen.code, is_uncertain=True)
    return client.message_create(
        sender=answer.thread.our_address,
        receiver=answer.thread.person_address,
        body=answer.text,
        status_callback=status_callback_url(answer.pk),
    )


def _find(answer: Answer) -> Outcome | None:
    return client.message_find(
        sender=answer.thread.our_address,
        receiver=answer.thread.person_address,
        body=answer.text,
        since=answer.created_at,
    )


@transaction.atomic
def _settle(answer: Answer, outcome: Outcome) -> State:
    now = timezone.now()
    if isinstance(outcome, Sent):
        Answer.objects.filter(pk=answer.pk, state__in=(State.SENDING, State.UNKNOWN)).update(
            state=State.SENT, handed_over_at=now, due_at=None, error_code=""
        )
        status_note(
            answer_id=answer.pk,
            sid=outcome.sid,
            status=outcome.status,
            error_code=outcome.error_code,
        )
        return State.SENT
    if isinstance(outcome, TryLater) and answer.attempts <= len(PAUSES):
        return _postpone(answer, outcome, now)
    if isinstance(outcome, Unknown):
        return _end(answer, State.UNKNOWN, outcome.code, look_at=now + LOOK_AFTER)
    if outcome.code == OPTED_OUT:
        Thread.objects.filter(pk=answer.thread_id).update(opted_out_at=now)
    return _end(answer, State.FAILED, outcome.code)


def _postpone(answer: Answer, outcome: TryLater, now: datetime) -> State:
    pause = PAUSES[answer.attempts - 1] * random.uniform(1, 1.25)  # noqa: S311 - spreads the load
    logger.warning(
        "answer %s: Twilio said %s, trying again in %.0f s", answer.pk, outcome.code, pause
    )
    Answer.objects.filter(pk=answer.pk, state=State.SENDING).update(
        state=State.OWED,
        due_at=now + timedelta(seconds=pause),
        error_code=outcome.code,
        is_uncertain=answer.is_uncertain or outcome.is_uncertain,
    )
    return State.OWED


def _end(answer: Answer, state: State, code: str, *, look_at: datetime | None = None) -> State:
    logger.error("answer %s: %s (%s)", answer.pk, state.label, code)
    Answer.objects.filter(pk=answer.pk, state=State.SENDING).update(
        state=state, error_code=code, due_at=look_at
    )
    return state
