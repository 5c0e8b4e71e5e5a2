"""Taking a text in: once, whole, and with what is owed for it, in one transaction."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import Error, IntegrityError, transaction
from django.utils import timezone

from conversations.models import Conversation, Message
from conversations.services.conversations import persona_reveal
from conversations.services.engine import bundle
from conversations.services.errors import (
    ConversationGone,
    MessageInvalid,
    NoCharacter,
    StorageUnavailable,
)
from conversations.services.messages import Exchange, message_send
from sms import wording
from sms.keywords import command_of, opt_out_of
from sms.models import Answer, InboundMessage, Kind, Thread
from sms.payload import IncomingText
from sms.segments import text_cost, text_fit
from sms.services.limits import limit_exceeded
from sms.services.threads import (
    answers_cancel,
    thread_conversation,
    thread_is_silent,
    thread_lock,
    thread_reset,
)

logger = logging.getLogger(__name__)

# Twilio gives up after 15 seconds; from then on nobody waits for an answer to the request.
TWILIO_PATIENCE = timedelta(seconds=16)
# Replies to choose from where neither settings nor bundle say: four take half as long again as one.
CANDIDATES = 4
_NAMESPACE = uuid.UUID("3b4e9c1e-5d0b-4a6e-9d55-6f7f0a6f3c11")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A text that was taken in, now or earlier; `answer` is None when none is due."""

    inbound: InboundMessage
    answer: Answer | None


def text_receive(*, text: IncomingText) -> Receipt:
    """Save a text and what is owed for it; the same MessageSid again changes nothing.

    The chat's message and the row of its reply are saved in the same transaction: after a crash
    either all of it is there or nothing. Raises StorageUnavailable when nothing can be saved.
    """
    try:
        try:
            return _receive(text)
        except (IntegrityError, ConversationGone):
            return _receive(text)  # the other copy won, or the chat has just been deleted
    except Error as error:
        raise StorageUnavailable from error


def chat_send(*, conversation: Conversation, text: str, sid: str) -> Exchange:
    """Put a text to the character; `message_send` with an id made from Twilio's.

    Nobody sees the reply while it is written, so it is the best of several.
    """
    candidates = settings.ENV.sms_candidates or bundle().sampling.get("candidates", CANDIDATES)
    return message_send(
        conversation=conversation,
        text=text,
        client_id=uuid.uuid5(_NAMESPACE, sid),
        sampling={"candidates": candidates},
    )


@transaction.atomic
def _receive(text: IncomingText) -> Receipt:
    thread = thread_lock(text=text)
    earlier = InboundMessage.objects.select_related("thread").filter(sid=text.sid).first()
    if earlier is not None:
        return Receipt(earlier, Answer.objects.filter(inbound=earlier).first())
    now = timezone.now()
    inbound = InboundMessage(
        sid=text.sid,
        thread=thread,
        media_count=text.media_count,
        segments=text.segments,
        received_at=now,
    )
    was_silent = thread_is_silent(thread=thread, now=now)
    reception = _Reception(thread, inbound, text, now)
    answer = reception.take_in()
    # What is not for the character keeps a chat alive, but brings none back.
    if inbound.kind not in (Kind.BLOCKED, Kind.LIMITED) and (
        inbound.kind == Kind.CHAT or not was_silent
    ):
        reception.changes["last_text_at"] = now
    if reception.changes:
        # All at once: of a row that is changed twice PostgreSQL looks up the chat, and whoever is
        # deleting that waits for the row.
        Thread.objects.filter(pk=thread.pk).update(**reception.changes)
    return Receipt(inbound, answer)


@dataclass(frozen=True, slots=True)
class _Reception:
    """One text on its way in, under the lock of its number. `changes` are the thread's."""

    thread: Thread
    inbound: InboundMessage
    text: IncomingText
    now: datetime
    changes: dict[str, datetime | None] = field(default_factory=dict)

    def take_in(self) -> Answer | None:
        opt_out = opt_out_of(
            self.text.body, self.text.opt_out_type, opted_out=bool(self.thread.opted_out_at)
        )
        if opt_out:
            return self._opt(opt_out)
        if self.thread.contact.is_blocked:
            return self._save(Kind.BLOCKED)
        if self.thread.opted_out_at:
            return self._save(Kind.OPTED_OUT)
        if not self.text.body.strip() and not self.text.media_count:
            return self._save(Kind.EMPTY)
        if exceeded := limit_exceeded(contact=self.thread.contact, now=self.now):
            name, is_said = exceeded
            return self._save(Kind.LIMITED, name, says=wording.LIMITED[name] if is_said else "")
        return self._answered()

    def _answered(self) -> Answer | None:
        try:
            # What it has written is taken back if there turns out to be nobody to talk to.
            with transaction.atomic():
                if command := command_of(self.text.body):
                    return self._command(command)
                if not self.text.body.strip():
                    return self._save(Kind.MEDIA, says=wording.MEDIA)
                return self._chat()
        except MessageInvalid as error:
            if error.code == "too_long":
                return self._save(Kind.INVALID, error.code, says=wording.TOO_LONG)
            return self._save(Kind.EMPTY)
        except NoCharacter:
            logger.exception("a text cannot be answered")
            return self._save(Kind.CHAT, "no_character", says=wording.NOBODY)

    def _opt(self, word: str) -> Answer | None:
        if word != "HELP":
            self.changes["opted_out_at"] = self.now if word == "STOP" else None
        if word == "STOP":
            answers_cancel(threads=Thread.objects.filter(pk=self.thread.pk))
        return self._save(Kind(word.lower()), self.text.opt_out_type or word)

    def _command(self, command: str) -> Answer | None:
        if command == "reset":
            thread_reset(thread=self.thread)
            says = wording.RESET
        elif command == "who":
            return self._who()
        else:
            says = wording.HELP if command == "help" else wording.UNKNOWN_COMMAND
        return self._save(Kind.COMMAND, command, says=says)

    def _who(self) -> Answer | None:
        """Who was on the line last; whoever has talked with nobody yet meets somebody."""
        conversation, prefix = self.thread.conversation, ""
        if conversation is None:
            conversation, _ = thread_conversation(thread=self.thread, now=self.now)
            prefix = wording.GREETING
        persona = persona_reveal(conversation=conversation)
        says = wording.who(persona.name, persona.lines)
        return self._save(Kind.COMMAND, "who", says=says, prefix=prefix)

    def _chat(self) -> Answer | None:
        conversation, is_new = thread_conversation(thread=self.thread, now=self.now)
        exchange = chat_send(conversation=conversation, text=self.text.body, sid=self.text.sid)
        lines = [
            wording.GREETING if is_new else "",
            wording.MEDIA_WITH_TEXT if self.text.media_count else "",
        ]
        return self._save(
            Kind.CHAT, reply=exchange.reply, prefix="\n".join(line for line in lines if line)
        )

    def _save(
        self,
        kind: Kind,
        detail: str = "",
        *,
        says: str = "",
        reply: Message | None = None,
        prefix: str = "",
    ) -> Answer | None:
        self.inbound.kind = kind
        self.inbound.detail = detail
        self.inbound.save(force_insert=True)
        if not says and reply is None:
            return None
        answer = Answer(
            inbound=self.inbound,
            thread=self.thread,
            reply=reply,
            prefix=prefix,
            due_at=self.now + TWILIO_PATIENCE,
        )
        if says:
            answer_write(answer=answer, says=says)
        answer.save(force_insert=True)
        return answer


def answer_write(*, answer: Answer, says: str) -> None:
    """Set an answer's text, shaped for SMS, and what it costs. Not saved."""
    answer.text = text_fit(says, max_segments=settings.ENV.sms_max_segments, prefix=answer.prefix)
    cost = text_cost(answer.text)
    answer.encoding, answer.segments = cost.encoding, cost.segments
