"""The way to a date in a long list of the admin."""

from __future__ import annotations

import calendar
from datetime import MAXYEAR, MINYEAR, date
from typing import Any

from django import template
from django.contrib.admin.views.main import ChangeList
from django.utils import timezone
from django.utils.dates import MONTHS

from conversations.digits import number_from

register = template.Library()
PARTS = ("year", "month", "day")


@register.inclusion_tag("admin/date_hierarchy.html")
def list_dates(cl: ChangeList) -> dict[str, Any]:
    """Years, months of a year or days of a month, from the first moment to the last of the list's
    `date_hierarchy`.

    Django's own tag reads every row to leave out dates without any; this one reads both ends of
    an index.
    """
    field = cl.date_hierarchy
    times = cl.root_queryset.order_by(field).values_list(field, flat=True)
    first, last = times.first(), times.last()
    if first is None or last is None:
        return {"show": False}
    first_day, last_day = timezone.localtime(first).date(), timezone.localtime(last).date()
    chosen = _chosen(cl)
    if not chosen and first_day.year == last_day.year:
        choices = _within((first_day.year,), first_day, last_day)
    else:
        choices = _within(chosen, first_day, last_day)
    return {
        "show": True,
        "back": _link(cl, chosen[:-1], "All dates") if chosen else None,
        "choices": [_link(cl, each) for each in choices] or [{"title": _title(chosen)}],
    }


def _chosen(cl: ChangeList) -> tuple[int, ...]:
    """Year, month and day that the list is narrowed to, as far as they are given."""
    parts: list[int] = []
    for name, least, most in (("year", MINYEAR, MAXYEAR), ("month", 1, 12), ("day", 1, 31)):
        given = cl.params.get(f"{cl.date_hierarchy}__{name}", "")
        part = number_from(given, least=least, most=most)
        if part is None:
            break
        parts.append(part)
    return tuple(parts)


def _within(chosen: tuple[int, ...], first: date, last: date) -> list[tuple[int, ...]]:
    """The next finer dates of a date, those before the first and after the last left out."""
    finer: list[tuple[int, ...]] = []
    match chosen:
        case ():
            finer = [(year,) for year in range(first.year, last.year + 1)]
        case (year,):
            finer = [(year, month) for month in range(1, 13)]
        case (year, month):
            days = calendar.monthrange(year, month)[1]
            finer = [(year, month, day) for day in range(1, days + 1)]
    ends = (first.year, first.month, first.day), (last.year, last.month, last.day)
    return [each for each in finer if ends[0][: len(each)] <= each <= ends[1][: len(each)]]


def _link(cl: ChangeList, parts: tuple[int, ...], title: str = "") -> dict[str, str]:
    prefix = f"{cl.date_hierarchy}__"
    query = {f"{prefix}{name}": value for name, value in zip(PARTS, parts, strict=False)}
    return {"link": cl.get_query_string(query, [prefix]), "title": _title(parts) or title}


def _title(parts: tuple[int, ...]) -> str:
    match parts:
        case (year,):
            return str(year)
        case (year, month):
            return f"{MONTHS[month]} {year}"
        case (_, month, day):
            return f"{MONTHS[month]} {day}"
    return ""
