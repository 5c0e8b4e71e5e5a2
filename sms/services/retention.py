"""How long the books of a number are kept that texts no more."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from conversations.models import Channel
from sms.models import Contact, InboundMessage, Thread
from sms.services.limits import longest_window
from sms.services.threads import contacts_delete

BATCH = 20  # each may have thousands of texts


def contacts_prune(
    *, moment: datetime, channels: list[str] | None, dry_run: bool
) -> tuple[str, int]:
    """Delete, or count, the numbers that have been silent since `moment`, with all their books."""
    silent = contacts_silent_since(moment=min(moment, timezone.now() - longest_window()))
    if channels and Channel.SMS not in channels:
        silent = silent.none()
    return "phone numbers", silent.count() if dry_run else _delete(silent)


def contacts_silent_since(*, moment: datetime) -> QuerySet[Contact]:
    """Numbers without a text or an active chat since `moment`; but not those to which nothing may
    go out, as that has to be remembered."""
    texts = InboundMessage.objects.filter(thread=OuterRef("pk"), received_at__gte=moment)
    is_active = Q(conversation__last_activity_at__gte=moment) | Exists(texts)
    kept = Thread.objects.filter(Q(opted_out_at__isnull=False) | is_active)
    numbers = Contact.objects.filter(is_blocked=False, created_at__lt=moment)
    return numbers.exclude(Exists(kept.filter(contact=OuterRef("pk"))))


def _delete(contacts: QuerySet[Contact]) -> int:
    """In batches, so that others can write meanwhile."""
    deleted = 0
    while pks := list(contacts.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        deleted += contacts_delete(contacts=contacts.filter(pk__in=pks))
    return deleted
