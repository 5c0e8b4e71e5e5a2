"""How a log line looks: UTC time, level, logger, message; ids, never what people wrote."""

from __future__ import annotations

import logging
import re
import time

# PostgreSQL quotes the whole row that broke a constraint, texts and phone numbers included.
_ROW_CONTENT = re.compile(
    r"^DETAIL: .*?(?=\n\nThe above exception|\n\nDuring handling|\Z)", re.MULTILINE | re.DOTALL
)


class LineFormatter(logging.Formatter):
    """One line for each record, then the traceback if there is one, without row contents."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        return _ROW_CONTENT.sub("DETAIL: (left out)", super().format(record))
