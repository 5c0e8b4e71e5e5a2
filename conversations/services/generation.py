"""One reply from its row to its row: claim it, let the engine write it, store how it ended."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from conversations import metrics
from conversations.models import Message, Persona, Role, Status
from conversations.services.engine import bundle, engine, sampling_params
from conversations.services.events import ReplyEnded
from conversations.services.live import LiveReply
from conversations.services.statements import (
    PERSONA,
    REPLIES_OPEN,
    REPLY_CLAIM,
    TURNS_BEFORE,
    adapt,
    fetch,
    restore,
    rows_update,
)
from inference.errors import EngineBusy, EngineError
from inference.events import Delta, Finished, Queued
from inference.params import SamplingParams
from inference.prompt import Turn

logger = logging.getLogger(__name__)

STORAGE_RETRY_SECONDS = 5

# More than fits any context; the prompt renderer decides what really stays. The oldest leave many
# at a time: in between the prompt begins the same, and its keys and values are still cached.
MAX_TURNS = 64
TURNS_STEP = 32

# What a dead process cannot have taken longer for: the reply itself, and storing it.
STALE_MARGIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Claim:
    """A reply that this process writes now, and what it is written from."""

    reply_id: int
    persona_lines: list[str]
    turns: list[Turn]
    sampling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another process is writing this reply."""

    reply_id: int


def reply_claim(*, conversation_id: UUID) -> Claim | Elsewhere | None:
    """Take on the conversation's next reply: mark it as being written. None: all are finished."""
    try:
        with transaction.atomic():
            return _claim(conversation_id)
    except IntegrityError:
        # A later reply is being written while this one is to be tried again.
        return _elsewhere(conversation_id)


def _claim(conversation_id: UUID) -> Claim | Elsewhere | None:
    conversation = adapt(Message, "conversation_id", conversation_id)
    claimed = fetch(REPLY_CLAIM, [adapt(Message, "started_at", timezone.now()), conversation])
    if not claimed:
        return _elsewhere(conversation_id)
    [(reply_id, sampling, before_id)] = claimed
    [(name, lines)] = fetch(PERSONA, [conversation])
    return Claim(
        reply_id,
        Persona(name=name, lines=restore(Persona, "lines", lines)).prompt_lines,
        conversation_turns(conversation_id=conversation_id, before_id=before_id),
        restore(Message, "sampling", sampling),
    )


def conversation_turns(*, conversation_id: UUID, before_id: int) -> list[Turn]:
    """What was said before a reply, its question last, as the prompt renderer wants it."""
    conversation = adapt(Message, "conversation_id", conversation_id)
    rows = fetch(TURNS_BEFORE, [conversation, before_id, MAX_TURNS])
    total = rows[0][2] if rows else 0
    surplus = max(0, total - MAX_TURNS)
    kept = rows[: total - -(-surplus // TURNS_STEP) * TURNS_STEP]
    return [Turn("person" if role == Role.USER else "bot", text) for role, text, _ in kept[::-1]]


def _elsewhere(conversation_id: UUID) -> Elsewhere | None:
    unfinished = fetch(REPLIES_OPEN, [adapt(Message, "conversation_id", conversation_id)])
    return Elsewhere(unfinished[0][0]) if unfinished else None


def replies_stale() -> QuerySet[Message]:
    """Replies marked as being written that no living process can still be writing."""
    limit = timedelta(seconds=settings.ENV.reply_timeout) + STALE_MARGIN
    return Message.objects.filter(status=Status.STREAMING, started_at__lt=timezone.now() - limit)


def reply_look(*, reply_id: int) -> Message | None:
    """The reply's row; one left behind by a dead process is marked as interrupted first."""
    stale = replies_stale().filter(pk=reply_id)
    if stale.exists():
        stale.update(status=Status.INTERRUPTED, finished_at=timezone.now())
    return Message.objects.filter(pk=reply_id).first()


def reply_withdraw(*, reply_id: int) -> bool:
    """Mark a reply that has not begun as stopped; False when it has."""
    waiting = Message.objects.filter(pk=reply_id, status=Status.PENDING)
    return bool(waiting.update(status=Status.STOPPED, finished_at=timezone.now()))


@dataclass(slots=True)
class Outcome:
    """How a run ended and what it took, to be stored in one write."""

    live: LiveReply
    status: Status = Status.COMPLETE
    error_code: str = ""
    retry_after: float | None = None
    finished: Finished | None = None
    sampling: SamplingParams | None = None
    tokens: int = 0
    began: float = field(default_factory=monotonic)
    first_token: float | None = None
    ended: float = 0

    def fail(self, error_code: str, *, retry_after: float | None = None) -> None:
        self.status, self.error_code, self.retry_after = Status.FAILED, error_code, retry_after

    def not_stored(self) -> ReplyEnded:
        """The end of a reply whose row could not be written."""
        self.fail("not_saved", retry_after=STORAGE_RETRY_SECONDS)
        return self.ending()

    def ending(self) -> ReplyEnded:
        return ReplyEnded(self.live.text, self.status, self.error_code, self.retry_after)

    def fields(self) -> dict[str, Any]:
        """The columns of the reply's row."""
        done, sampling = self.finished, self.finished.sampling if self.finished else self.sampling
        ended = self.ended or monotonic()
        return {
            "status": self.status,
            "text": self.live.text,
            "token_ends": self.live.token_ends,
            "error_code": self.error_code,
            "bundle": bundle().name if sampling else "",
            "sampling": asdict(sampling) if sampling else {},
            "prompt_tokens": done.prompt_tokens if done else None,
            "completion_tokens": done.completion_tokens if done else self.tokens,
            "queued_ms": _ms(done.queued_s) if done else None,
            "first_token_ms": _ms(self.first_token - self.began) if self.first_token else None,
            "duration_ms": _ms(ended - self.began),
            "finished_at": timezone.now(),
        }


def reply_store(outcome: Outcome) -> None:
    """The one write at the end of a reply. One that was deleted meanwhile ends as interrupted."""
    if not rows_update(Message, {"id": outcome.live.reply_id}, outcome.fields()):
        outcome.status = Status.INTERRUPTED
        logger.info("reply %s ended after its conversation was deleted", outcome.live.reply_id)


async def reply_generate(outcome: Outcome, claim: Claim) -> None:
    """Let the engine write the reply into its log; the outcome says how it went.

    It ends as complete, stopped, or failed after an error or `CHATBOT_REPLY_TIMEOUT`. When the task
    is cancelled (the process ends) it ends as interrupted, and the caller has to go on cancelling.
    """
    live = outcome.live
    try:
        async with asyncio.timeout(settings.ENV.reply_timeout) as scope:
            loop = asyncio.get_running_loop()
            # Asked twice, or as the time is up, the scope is already on its way out.
            live.cancel = lambda: None if scope.expired() else scope.reschedule(loop.time())
            if live.stop_requested:
                live.stop()
            await _write(outcome, claim)
    except TimeoutError:
        if live.stop_requested:
            outcome.status = Status.STOPPED
        else:
            outcome.fail("engine_unavailable")
            logger.exception("reply %s was given up after the time limit", live.reply_id)
    except asyncio.CancelledError:
        outcome.status = Status.INTERRUPTED
    except EngineBusy as error:
        outcome.fail("busy", retry_after=max(1, round(error.wait_seconds or 5)))
    except EngineError:
        outcome.fail("engine_unavailable")
        logger.exception("reply %s: the engine gave up", live.reply_id)
    except Exception:  # whatever it is, the person gets an answer and the log the reason
        outcome.fail("engine_unavailable")
        logger.exception("reply %s failed", live.reply_id)
    finally:
        live.cancel = None
        outcome.ended = monotonic()


async def _write(outcome: Outcome, claim: Claim) -> None:
    live = outcome.live
    # A seed of our own, so that it is known however the reply ends.
    wanted = {"seed": secrets.randbits(31), **claim.sampling}
    params = replace(sampling_params(), **wanted)
    outcome.sampling = params
    events = engine().generate(
        claim.persona_lines, claim.turns, params, cache_key=live.conversation_id.hex
    )
    async with aclosing(events):
        async for event in events:
            match event:
                case Delta(text, tokens):
                    if outcome.first_token is None:
                        outcome.first_token = monotonic()
                    outcome.tokens += tokens
                    live.append(text)
                case Queued(position):
                    live.queue(position)
                case Finished():
                    outcome.finished = event


def reply_count(outcome: Outcome) -> None:
    """Count a reply in the metrics, once it is stored or is known not to be."""
    metrics.replies_ended.labels(status=outcome.status).inc()
    metrics.reply_seconds.observe(outcome.ended - outcome.began)
    if outcome.first_token is not None:
        metrics.first_token_seconds.observe(outcome.first_token - outcome.began)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
