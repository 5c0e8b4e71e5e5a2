"""How long conversations are kept, and how they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from conversations.models import Conversation, Message

BATCH = 200
# Those who keep more of people than conversations. Each is called with what `others_prune` is, and
# returns what it keeps, and how many of that went or, with `dry_run`, would go.
pruners: list[Callable[..., tuple[str, int]]] = []


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many rows went."""

    conversations: int = 0
    messages: int = 0

    def __add__(self, other: Deleted) -> Deleted:
        return Deleted(self.conversations + other.conversations, self.messages + other.messages)


def conversations_delete(*, conversations: QuerySet[Conversation]) -> Deleted:
    """Delete conversations with all their messages, in batches."""
    return sum(conversations_delete_batches(conversations=conversations), Deleted())


def conversations_delete_batches(*, conversations: QuerySet[Conversation]) -> Iterator[Deleted]:
    """The same, giving an account after each batch.

    Each batch is a transaction of its own: the database is never locked for long, and what was
    done stays done when the work is broken off. What begins meanwhile is not among them, nor is
    what has changed so that it is not to go any more.
    """
    conversations = conversations.filter(created_at__lte=timezone.now())
    while pks := list(conversations.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            _, rows = Conversation.objects.filter(pk__in=_locked(conversations, pks)).delete()
        yield Deleted(
            rows.get("conversations.Conversation", 0), rows.get("conversations.Message", 0)
        )


def _locked(conversations: QuerySet[Conversation], pks: list[UUID]) -> list[UUID]:
    """Which of these still are among the conversations. From now on nobody writes into them: all
    who do write the conversation's row first."""
    # Not as values_list, which would forget whose rows are to be locked.
    rows = conversations.filter(pk__in=pks).order_by("pk").select_related(None).only("pk")
    return [row.pk for row in rows.select_for_update(of=("self",))]


def conversations_idle_since(
    *, moment: datetime, channels: list[str] | None = None, only_empty: bool = False
) -> QuerySet[Conversation]:
    """Conversations without activity since `moment`; with `only_empty`, those in which nobody
    ever said anything."""
    idle = Conversation.objects.filter(last_activity_at__lt=moment)
    if channels:
        idle = idle.filter(channel__in=channels)
    return idle.filter(messages__isnull=True) if only_empty else idle


def others_prune(*, moment: datetime, channels: list[str] | None, dry_run: bool) -> dict[str, int]:
    """Delete what else is kept of people who have been silent since `moment`, or with `dry_run`
    count it; returns how many of what. Their conversations go first."""
    return dict(prune(moment=moment, channels=channels, dry_run=dry_run) for prune in pruners)


def message_delete(*, message: Message) -> None:
    """Delete one message; what answered it goes too."""
    with transaction.atomic():
        # In turn with whoever sends it again.
        _locked(Conversation.objects.all(), [message.conversation_id])
        message.delete()
