"""Taking in what a person says."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error, IntegrityError, transaction
from django.utils import timezone

from conversations import metrics
from conversations.models import RETRIABLE, Conversation, Message, Role, Status
from conversations.services.errors import (
    ConversationGone,
    MessageDiffers,
    MessageInvalid,
    StorageUnavailable,
)
from conversations.services.statements import (
    MESSAGE_SENT,
    adapt,
    fetch,
    row_insert,
    rows_update,
)
from conversations.services.texts import is_visible, text_clean

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A person's message and the row of its reply.

    `created` is False when the message had been saved before: nothing is generated again then,
    except a reply that failed or was interrupted, which is back to `pending`, or one that staff
    deleted, which has a new row.
    """

    message: Message
    reply: Message
    created: bool


def message_send(
    *,
    conversation: Conversation,
    text: str,
    client_id: UUID,
    sampling: Mapping[str, Any] | None = None,
    same_text: bool = False,
) -> Exchange:
    """Save a person's message together with the row of its reply, in one transaction.

    Idempotent for each (conversation, client_id). Starting the reply is the caller's next step:
    `reply_stream`. Raises MessageInvalid, ConversationGone, or StorageUnavailable when the database
    takes no writes; nothing is saved then.

    `sampling` changes how this one reply is drawn: values by their names in SamplingParams. With
    `same_text` a client_id that came with another text before raises MessageDiffers.
    """
    text = message_clean(text)
    save = partial(_save, conversation, text, client_id, sampling or {}, same_text=same_text)
    try:
        try:
            exchange = save()
        except IntegrityError:
            # The same message arrived twice at once and the other copy won.
            exchange = save()
    except Error as error:
        logger.exception("a message of conversation %s cannot be saved", conversation.pk)
        raise StorageUnavailable from error
    if exchange.created:
        metrics.messages_received.labels(channel=conversation.channel).inc()
    return exchange


def message_clean(text: str) -> str:
    """The text as it is kept: without lone surrogates and control characters but newline and tab.

    Raises MessageInvalid when nothing visible is left, or when it is longer than
    `CHATBOT_MESSAGE_MAX_LENGTH` characters (code points).
    """
    limit = settings.ENV.message_max_length
    if len(text) > limit:
        raise MessageInvalid(
            "too_long",
            f"A message may have {limit:,} characters; this one has {len(text):,}. "
            "Please shorten it or send it in parts.",
        )
    text = text_clean(text=text)
    if not is_visible(text=text):
        raise MessageInvalid("invalid", "The message is empty. Please write something.")
    return text


def message_is_settled(*, conversation: Conversation, client_id: UUID) -> bool:
    """Whether sending a message changes nothing: it is saved and its reply need not run again."""
    replies = Message.objects.filter(
        reply_to__conversation=conversation, reply_to__client_id=client_id
    )
    return replies.exclude(status__in=RETRIABLE).exists()


@transaction.atomic
def _save(
    conversation: Conversation,
    text: str,
    client_id: UUID,
    sampling: Mapping[str, Any],
    *,
    same_text: bool,
) -> Exchange:
    # Writing the conversation's row first makes senders of one conversation take turns, so that
    # the ids of a message and its reply are neighbours in the order of the conversation.
    now = timezone.now()
    if not rows_update(Conversation, {"id": conversation.pk}, {"last_activity_at": now}):
        raise ConversationGone
    sent = [
        adapt(Message, "conversation_id", conversation.pk),
        adapt(Message, "client_id", client_id),
    ]
    if earlier := fetch(MESSAGE_SENT, sent):
        message = Message.objects.select_related("reply").get(pk=earlier[0][0])
        if same_text and message.text != text:
            raise MessageDiffers
        reply = getattr(message, "reply", None)  # none when staff deleted it
        again = _retry(reply, sampling) if reply else _reply_insert(message, sampling)
        return Exchange(message, again, created=False)
    message = Message(
        conversation=conversation,
        role=Role.USER,
        text=text,
        client_id=client_id,
        created_at=now,
        finished_at=now,
    )
    row_insert(message)
    return Exchange(message, _reply_insert(message, sampling), created=True)


def _reply_insert(message: Message, sampling: Mapping[str, Any]) -> Message:
    reply = Message(
        conversation_id=message.conversation_id,
        role=Role.BOT,
        status=Status.PENDING,
        reply_to=message,
        sampling=dict(sampling),
    )
    row_insert(reply)
    return reply


def _retry(reply: Message, sampling: Mapping[str, Any]) -> Message:
    if reply.status in RETRIABLE:
        blank = Message(status=Status.PENDING, sampling=dict(sampling))
        fields = (
            *("status", "text", "token_ends", "error_code", "bundle", "sampling", "finished_at"),
            *("started_at", "prompt_tokens", "completion_tokens", "feedback"),
            *("queued_ms", "first_token_ms", "duration_ms"),
        )
        for field in fields:
            setattr(reply, field, getattr(blank, field))
        reply.save(update_fields=fields)
    return reply
