"""How much one number, and everybody together, may text.

Counted from the rows themselves: exact over several processes and restarts, and part of the
transaction that takes the text in.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from limits import RateLimitItem, RateLimitItemPerDay, parse_many

from sms.models import COUNTED, Contact, InboundMessage, Kind


def limit_exceeded(*, contact: Contact, now: datetime) -> tuple[str, bool] | None:
    """The limit that one more text would break, `number`, `day` or `global`, and whether to say so;
    None while all hold. It is said once in a limit's window."""
    for name, limit in _limits():
        since = now - timedelta(seconds=limit.get_expiry())
        rows = InboundMessage.objects.filter(received_at__gt=since)
        mine = rows.filter(thread__contact=contact)
        counted = (rows if name == "global" else mine).filter(kind__in=COUNTED)
        if _at_least(counted, limit.amount):
            told = mine.filter(kind=Kind.LIMITED, detail=name, answer__isnull=False).exists()
            return name, not told
    return None


def longest_window() -> timedelta:
    """How far back texts are counted."""
    return timedelta(seconds=max(limit.get_expiry() for _, limit in _limits()))


def _limits() -> Iterator[tuple[str, RateLimitItem]]:
    yield "day", RateLimitItemPerDay(settings.ENV.sms_daily_cap)
    for limit in parse_many(settings.ENV.sms_rate):
        yield "number", limit
    for limit in parse_many(settings.ENV.sms_global_rate):
        yield "global", limit


def _at_least(rows: QuerySet[InboundMessage], amount: int) -> bool:
    return rows.order_by()[:amount].count() >= amount
