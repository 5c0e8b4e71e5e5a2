"""The lines of a character as they come from elsewhere, made fit to be read and spoken from."""

from __future__ import annotations

import re
from collections.abc import Sequence

from conversations.services.persona_edits import MAX_LINE_LENGTH, MAX_LINES
from conversations.services.texts import is_visible, text_clean

_SPACED_MARK = re.compile(r"\s+([.,!?;:])(?=\s|$|[.,!?;:])")
_LONE_I = re.compile(r"\bi\b(?=$|[\s,.!?;]|')")


class LinesDamaged(ValueError):
    """Lines that cannot be a character's."""


def persona_tidy(*, lines: Sequence[str]) -> list[str]:
    """Lines as sentences: one space between words, none before a mark, a capital at the start
    and a full stop at the end. "i have two dogs ." becomes "I have two dogs."

    Empty and repeated lines are left out. Raises LinesDamaged.
    """
    tidied = list(dict.fromkeys(line for line in map(_sentence, lines) if line))
    if not tidied:
        raise LinesDamaged("a character without lines.")
    if len(tidied) > MAX_LINES:
        raise LinesDamaged(f"a character with {len(tidied)} lines; at most {MAX_LINES} are kept.")
    longest = max(map(len, tidied))
    if longest > MAX_LINE_LENGTH:
        raise LinesDamaged(f"a line of {longest} characters; at most {MAX_LINE_LENGTH} are kept.")
    return tidied


def _sentence(line: str) -> str:
    line = _SPACED_MARK.sub(r"\1", " ".join(text_clean(text=line).split()))
    line = _LONE_I.sub("I", line)
    if not is_visible(text=line):
        return ""
    end = "." if line[-1].isalnum() else ""
    return line[0].upper() + line[1:] + end
