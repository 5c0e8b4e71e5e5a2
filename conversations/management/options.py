"""Values of command line options that several commands take."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, time, timedelta
from urllib.parse import urlsplit

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def duration(text: str) -> timedelta:
    """`36h`, `90d` or `12w`."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip().lower())
    if not match:
        raise ArgumentTypeError(
            f"{text!r} is not a length of time; write for example 36h, 90d or 12w"
        )
    return int(match[1]) * _UNITS[match[2]]


def server_url(text: str) -> str:
    """The address of a server, with a port that there can be."""
    try:
        place = urlsplit(text)
        known = place.scheme in {"http", "https"} and place.hostname and place.port != 0
    except ValueError:
        known = False
    if not known:
        raise ArgumentTypeError(f"{text!r} is not a URL; write http://127.0.0.1:8000")
    return text


def since(text: str) -> datetime:
    """A moment, or a date that stands for its beginning."""
    return _moment(text, time.min)


def until(text: str) -> datetime:
    """A moment, or a date that stands for its end."""
    return _moment(text, time.max)


def _moment(text: str, time_of_day: time) -> datetime:
    try:
        day = parse_date(text)
        moment = datetime.combine(day, time_of_day) if day else parse_datetime(text)
        if moment is not None:
            here = moment if timezone.is_aware(moment) else timezone.make_aware(moment)
            # What the database compares with; the first and the last day are beyond it in places.
            return here.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ArgumentTypeError(
        f"{text!r} is not a date or time; write for example 2026-11-30 or 2026-11-30T18:00"
    )
