"""How a log line looks: UTC time, level, logger, message; ids, never what people wrote."""

from __future__ import annotations

import copy
import logging
import re
import time

# PostgreSQL quotes the whole row that broke a constraint, texts and phone numbers included.
_ROW_CONTENT = re.compile(
    r"^DETAIL: .*?(?=\n\nThe above exception|\n\nDuring handling|\Z)", re.MULTILINE | re.DOTALL
)
REPEAT_SECONDS = 60.0
REMEMBERED = 1000


class LineFormatter(logging.Formatter):
    """One line for each record, then the traceback if there is one, without row contents."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        return _ROW_CONTENT.sub("DETAIL: (left out)", super().format(_shortened(record)))


class Repeats(logging.Filter):
    """Keeps a fault that lasts from filling the disk.

    With Redis or the database away every reply would tell of it with a long traceback. Of warnings
    and errors the same line is let through once a minute, and the next one says how many were left
    out; where only ids differ each line is let through, its traceback once a minute.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[tuple[object, ...], tuple[float, int]] = {}
        self._tracebacks: dict[tuple[object, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        line = (record.name, record.getMessage(), _reason(record))
        last, left_out = self._lines.get(line, (-REPEAT_SECONDS, 0))
        if now - last < REPEAT_SECONDS:
            self._lines[line] = last, left_out + 1
            return False
        if len(self._lines) >= REMEMBERED:
            self._lines.clear()
        self._lines[line] = now, 0
        record.left_out = left_out
        record.is_brief = self._is_known(record, now)
        return True

    def _is_known(self, record: logging.LogRecord, now: float) -> bool:
        kind = (record.name, record.msg, record.exc_info and record.exc_info[0])
        if now - self._tracebacks.get(kind, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return True
        if len(self._tracebacks) >= REMEMBERED:
            self._tracebacks.clear()
        self._tracebacks[kind] = now
        return False


def _shortened(record: logging.LogRecord) -> logging.LogRecord:
    """The record as `Repeats` wants it written."""
    left_out, is_brief = getattr(record, "left_out", 0), getattr(record, "is_brief", False)
    reason = _reason(record) if is_brief else ""
    if not (left_out or reason):
        return record
    record = copy.copy(record)
    record.msg, record.args = record.getMessage(), None
    if reason:
        record.msg += f" ({reason})"
        record.exc_info = record.exc_text = None
    if left_out:
        record.msg += f" (and {left_out} times since this was last written)"
    return record


def _reason(record: logging.LogRecord) -> str:
    """The exception in a few words: its first line, which quotes no rows."""
    error = record.exc_info[1] if record.exc_info else None
    return f"{type(error).__name__}: {error}".splitlines()[0] if error else ""
