"""Conversations out to files of dialogues.

The format, one JSON object a line: `{"source": …, "personas": [[the first speaker's lines], [the
second speaker's lines]], "turns": [alternating texts, the first speaker starts]}`. The person is
the first speaker, the character the second.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from conversations.models import UNFINISHED, Conversation, Message, Role
from conversations.selectors import conversations_judged
from conversations.services.database import db_read
from conversations.services.texts import text_clean, text_mask

BATCH = 200


def conversations_to_export(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    channels: Sequence[str] | None = None,
    feedback: str | None = None,
) -> QuerySet[Conversation]:
    """Conversations that started between two moments (both included), in these channels, with a
    reply that was given this feedback (see `conversations_judged`); None: whatever it is."""
    chosen = Conversation.objects.all()
    if since:
        chosen = chosen.filter(created_at__gte=since)
    if until:
        chosen = chosen.filter(created_at__lte=until)
    if channels:
        chosen = chosen.filter(channel__in=channels)
    return conversations_judged(conversations=chosen, feedback=feedback) if feedback else chosen


def dialogues_export(*, conversations: QuerySet[Conversation]) -> Iterator[dict[str, Any]]:
    """Each conversation as a dialogue, with nothing in it that leads to a person.

    No ids, times, titles or accounts; e-mail addresses, links and phone numbers in texts masked;
    in the order of the random ids, which is no order.
    """
    for conversation, turns in conversation_turns_masked(conversations=conversations):
        lines = [text_mask(text=line) for line in conversation.persona.lines]
        yield {"source": f"chat/{conversation.channel}", "personas": [[], lines], "turns": turns}


def conversation_turns_masked(
    *, conversations: QuerySet[Conversation]
) -> Iterator[tuple[Conversation, list[str]]]:
    """Each conversation with the turns of its dialogue.

    Texts without a word are left out, and texts that then follow each other from the same side
    become one turn. Conversations in which nothing was said are left out.
    """
    last = None
    while True:
        rest = conversations.filter(pk__gt=last) if last else conversations
        batch = list(rest.order_by("pk").select_related("persona")[:BATCH])
        if not batch:
            return
        last = batch[-1].pk
        turns = dict(_turns(batch))
        for conversation in batch:
            if conversation.pk in turns:
                yield conversation, turns[conversation.pk]


async def dialogue_lines(*, conversations: QuerySet[Conversation]) -> AsyncIterator[str]:
    """The same as lines of JSON, a batch at a time, for a response that streams."""
    dialogues = dialogues_export(conversations=conversations)
    lines = (json.dumps(dialogue, ensure_ascii=False) + "\n" for dialogue in dialogues)
    while batch := await db_read("".join, itertools.islice(lines, BATCH)):
        yield batch


def _turns(batch: Iterable[Conversation]) -> Iterator[tuple[Any, list[str]]]:
    said = (
        Message.objects.filter(conversation__in=[conversation.pk for conversation in batch])
        .exclude(status__in=UNFINISHED)
        .order_by("conversation", "id")
        .values_list("conversation_id", "role", "text")
    )
    cleaned = ((pk, role, text_clean(text=text)) for pk, role, text in said)
    visible = (row for row in cleaned if row[2].strip())
    for conversation_id, messages in itertools.groupby(visible, key=lambda row: row[0]):
        sides = [
            # Masked as they end up: a number may come in two texts.
            (role, text_mask(text="\n".join(text for _, _, text in texts)))
            for role, texts in itertools.groupby(messages, key=lambda row: row[1])
        ]
        # A dialogue begins with the person.
        if sides[0][0] == Role.BOT:
            del sides[0]
        if sides:
            yield conversation_id, [text for _, text in sides]
