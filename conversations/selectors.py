"""What is read from the database, in the shapes that doors and services want."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Lower, NullIf, StrIndex, Substr
from django.db.models.lookups import GreaterThan

from conversations.models import Conversation, Message, Persona, Role
from conversations.services.owners import Owner

# What staff call feedback, and the values that it stands for.
FEEDBACK = {"any": (1, -1), "up": (1,), "down": (-1,)}


def conversations_of_owner(*, owner: Owner) -> QuerySet[Conversation]:
    """All conversations of a browser or user, the last active first, with their characters."""
    mine = Q()
    if owner.browser_key:
        mine |= Q(browser_key=owner.browser_key)
    if owner.user:
        mine |= Q(user_id=owner.user.pk)
    if not mine:
        return Conversation.objects.none()
    return Conversation.objects.filter(mine).select_related("persona")


def conversation_for_owner(*, conversation_id: UUID, owner: Owner) -> Conversation | None:
    """The conversation if it belongs to this person: they may read and write it."""
    return conversations_of_owner(owner=owner).filter(pk=conversation_id).first()


def conversation_for_reader(*, conversation_id: UUID, owner: Owner) -> Conversation | None:
    """The conversation if this person may read it: its owner, and staff."""
    if owner.is_staff:
        found = Conversation.objects.filter(pk=conversation_id)
        return found.select_related("persona").first()
    return conversation_for_owner(conversation_id=conversation_id, owner=owner)


def conversation_belongs_to(*, conversation: Conversation, owner: Owner) -> bool:
    """Whether this person may write into the conversation."""
    if owner.user and conversation.user_id == owner.user.pk:
        return True
    return bool(owner.browser_key) and conversation.browser_key == owner.browser_key


def conversation_messages(*, conversation_id: UUID, last: int | None = None) -> list[Message]:
    """The messages in order; with `last` only so many of the newest."""
    messages = Message.objects.filter(conversation_id=conversation_id)
    if last is None:
        return list(messages.order_by("id"))
    return list(messages.order_by("-id")[:last])[::-1]


def reply_exists(*, reply_id: int, conversation_id: UUID) -> bool:
    """Whether the conversation has this reply."""
    replies = Message.objects.filter(conversation_id=conversation_id, role=Role.BOT)
    return replies.filter(pk=reply_id).exists()


def conversations_judged(
    *, conversations: QuerySet[Conversation], feedback: str
) -> QuerySet[Conversation]:
    """Those with a reply that was given this feedback, one of FEEDBACK."""
    judged = Message.objects.filter(feedback__isnull=False, feedback__in=FEEDBACK[feedback])
    return conversations.filter(pk__in=judged.values("conversation_id"))


def personas_active() -> QuerySet[Persona]:
    """The characters that new conversations may meet."""
    return Persona.objects.filter(is_active=True)


def personas_found(*, personas: QuerySet[Persona], words: Iterable[str]) -> QuerySet[Persona]:
    """Those with every one of these words in their name or their lines."""
    # The dear ones last, and of the others the longest first, as few characters have them.
    for word in sorted(set(words), key=lambda word: (not word.isascii(), -len(word), word)):
        personas = personas.filter(_in_name(word) | _in_lines(word))
    return personas


def _in_name(word: str) -> Q:
    """In SQLite LIKE asks Python about each row (see sqlite.py), which there waits its turn among
    the threads of a server: thousands of times. Only letters beyond ASCII need that."""
    return _contains("name", word) if word.isascii() else Q(name__icontains=word)


def _in_lines(word: str) -> Q:
    """Lines are searched as the JSON that they are kept as: quotes in it are escaped, and in
    SQLite's letters beyond ASCII as well."""
    found = Q()
    for written in {json.dumps(word), json.dumps(word, ensure_ascii=False)}:
        found |= _contains("lines", written[1:-1])
    return found


def _contains(column: str, text: str) -> Q:
    """Without LIKE, whatever the case; in SQLite that of ASCII letters."""
    kept = Lower(Cast(column, TextField()))
    return Q(GreaterThan(StrIndex(kept, Value(text.lower())), 0))


def conversations_listed(*, owner: Owner, query: str = "") -> QuerySet[Conversation]:
    """A person's conversations in which something was said, with what a list shows of each.

    Adds `label` (the title, or else how the person began), `last_text` and `message_count`. With a
    query only those whose title, messages or revealed character's name contain it.
    """
    messages = Message.objects.filter(conversation=OuterRef("pk"))
    opening = messages.filter(role=Role.USER).order_by("id").values("text")[:1]
    last = messages.exclude(text="").order_by("-id").values("text")[:1]
    number = messages.order_by().values("conversation").annotate(number=Count("pk"))
    found = _begun(owner)
    if query := query.replace("\0", "").strip():
        found = found.filter(
            Q(title__icontains=query)
            | Exists(messages.filter(text__icontains=query))
            | Q(revealed_at__isnull=False, persona__name__icontains=query)
        )
    return found.annotate(
        label=Coalesce(
            NullIf("title", Value("")), Substr(Subquery(opening), 1, 120), Value("Imported")
        ),
        last_text=Substr(Subquery(last), 1, 240),
        message_count=Subquery(number.values("number")),
    )


def conversations_recent(
    *, owner: Owner, number: int, present: Conversation | None
) -> list[Conversation]:
    """The latest of a person's conversations, as in `conversations_listed`; the present one, if
    there is one and it is theirs, among them whatever its age."""
    listed = conversations_listed(owner=owner)
    latest = list(listed[:number])
    if present is None or present in latest:
        return latest
    return [*listed.filter(pk=present.pk), *latest]


def conversations_document(*, owner: Owner) -> dict[str, Any]:
    """All that a person said and was told, ready for JSON; see `conversation_document`."""
    mine = _begun(owner).prefetch_related("messages")
    return {"conversations": [conversation_document(conversation=each) for each in mine]}


def conversation_document(*, conversation: Conversation) -> dict[str, Any]:
    """A conversation for the person it belongs to, ready for JSON.

    The character only if the person has looked who it is.
    """
    persona = conversation.persona
    revealed = conversation.revealed_at is not None
    return {
        "id": str(conversation.pk),
        "title": conversation.title,
        "started_at": conversation.created_at.isoformat(),
        "character": {"name": persona.name, "lines": persona.lines} if revealed else None,
        "messages": [
            {
                "role": message.role,
                "text": message.text,
                "status": message.status,
                "time": message.created_at.isoformat(),
            }
            for message in conversation.messages.all()
        ],
    }


def _begun(owner: Owner) -> QuerySet[Conversation]:
    """A person's conversations in which something was said."""
    messages = Message.objects.filter(conversation=OuterRef("pk"))
    return conversations_of_owner(owner=owner).filter(Exists(messages))
