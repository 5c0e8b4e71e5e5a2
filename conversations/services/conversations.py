"""Starting conversations and what a person does with them as a whole."""

from __future__ import annotations

import logging
import unicodedata
from typing import Any

from django.db import Error
from django.utils import timezone

from conversations import metrics
from conversations.models import TITLE_MAX_LENGTH, Channel, Conversation, Persona
from conversations.services.database import db_wait, db_write
from conversations.services.errors import (
    ConversationGone,
    ConversationInvalid,
    StorageUnavailable,
)
from conversations.services.events import ConversationReset
from conversations.services.limits import conversation_limit
from conversations.services.owners import Owner
from conversations.services.personas import persona_random
from conversations.services.replies import replies_stop
from conversations.services.retention import conversations_delete
from conversations.services.rooms import Rooms

logger = logging.getLogger(__name__)


def conversations_claim(*, owner: Owner) -> None:
    """Give a person who has signed in what their browser said before."""
    if owner.user and owner.browser_key:
        unclaimed = Conversation.objects.filter(browser_key=owner.browser_key, user=None)
        unclaimed.update(user=owner.user)


def conversation_start(
    *, channel: Channel, owner: Owner, persona: Persona | None = None, title: str = ""
) -> Conversation:
    """Start a conversation, with a random active character unless one is named.

    Raises ConversationInvalid for a title that cannot be kept, NoCharacter when none is active,
    StorageUnavailable when nothing can be saved.
    """
    conversation = Conversation(
        title=title_clean(title),
        channel=channel,
        user_id=owner.user.pk if owner.user else None,
        browser_key=owner.browser_key,
    )
    return _save(conversation, persona or persona_random())


def conversation_reset(*, conversation: Conversation) -> Conversation:
    """A new conversation for the same person through the same channel, with another character."""
    successor = Conversation(
        channel=conversation.channel,
        user_id=conversation.user_id,
        browser_key=conversation.browser_key,
    )
    return _save(successor, persona_random(besides=conversation.persona))


async def conversation_renew(
    *, conversation: Conversation, owner: Owner, address: str = ""
) -> Conversation:
    """Go on with another character: `conversation_reset`, counted for the rate limits.

    Everybody who follows the old conversation is told; what was being written there is stopped.
    """

    def reset() -> Conversation:
        conversation_limit(owner=owner, address=address)
        return conversation_reset(conversation=conversation)

    successor = await db_write(reset)
    rooms = Rooms.here()
    event = ConversationReset(successor.pk)
    if room := rooms.get(conversation.pk):
        room.announce(event)
    rooms.relay.announce(conversation.pk, event)
    await replies_stop(among=conversation.messages.all())
    return successor


def conversation_delete(*, conversation: Conversation) -> None:
    """Delete a conversation with everything said in it; what is being written there stops."""
    db_wait(replies_stop, among=conversation.messages.all())
    conversations_delete(conversations=Conversation.objects.filter(pk=conversation.pk))


def conversation_rename(*, conversation: Conversation, title: str) -> None:
    """Give a conversation a title as `title_clean` makes it; an empty one takes it away.

    Raises ConversationInvalid, ConversationGone.
    """
    _change(conversation, title=title_clean(title))


def title_clean(title: str) -> str:
    """A title on one line, of at most TITLE_MAX_LENGTH characters. Raises ConversationInvalid."""
    title = "".join(" " if unicodedata.category(c) in {"Cc", "Cs"} else c for c in title)
    title = " ".join(title.split())
    if len(title) > TITLE_MAX_LENGTH:
        raise ConversationInvalid(
            "too_long",
            f"A title may have {TITLE_MAX_LENGTH} characters; this one has {len(title)}.",
        )
    return title


def persona_reveal(*, conversation: Conversation) -> Persona:
    """Show who the character is; the first time is remembered. Raises ConversationGone."""
    if conversation.revealed_at is None:
        _change(conversation, revealed_at=timezone.now())
    return conversation.persona


def _change(conversation: Conversation, **fields: Any) -> None:
    # Not `save`, which takes a row that somebody has just deleted for a broken database.
    if not Conversation.objects.filter(pk=conversation.pk).update(**fields):
        raise ConversationGone
    for name, value in fields.items():
        setattr(conversation, name, value)


def _save(conversation: Conversation, persona: Persona) -> Conversation:
    conversation.persona = persona
    try:
        conversation.save(force_insert=True)
    except Error as error:
        logger.exception("a conversation cannot be saved")
        raise StorageUnavailable from error
    metrics.conversations_started.labels(channel=conversation.channel).inc()
    return conversation
