"""Messages that go back to what was just said: why, whether it is so, or what it was; and leave."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.persona.retrieval import was_said

_LEAD = r"^\W*(?:(?:and|but|so|oh|ok|no|wait|wow|haha|lol)\b\W*)*"
_WHY = re.compile(
    rf"{_LEAD}(?:why|how come)(?: not| is that| so| that| do you (?:say|think) (?:so|that))?\W*$",
    re.IGNORECASE,
)
_DOUBTS = re.compile(
    rf"{_LEAD}(?:really|seriously|for real|are you (?:serious|sure)|is (?:that|it) true|you do"
    r"|do you)\b\W*$",
    re.IGNORECASE,
)
_WHAT = re.compile(
    rf"{_LEAD}(?:what|huh|sorry\?|pardon|come again|say (?:that|it) again"
    r"|(?:can|could) you (?:repeat|say) (?:that|it)(?: again)?|what did you(?: just)? say)\W*$",
    re.IGNORECASE,
)
_LEAVE = re.compile(
    r"\b(?:bye(?:[ -]?bye)?|goodbye|good ?night|see (?:you|ya)(?: later| soon| tomorrow| around)?"
    r"|take care)(?=\W*$)",
    re.IGNORECASE,
)


def leave_taken(message: str) -> str:
    """The words with which somebody takes leave; empty where they do not."""
    found = None if "?" in message else _LEAVE.search(message)
    return found[0].lower() if found else ""


def asks_why(message: str) -> bool:
    """Whether a message asks for nothing but the reason."""
    return _WHY.search(message) is not None


def doubts_a_line(message: str, persona: Sequence[str], said: Sequence[str]) -> bool:
    """Whether a message asks if something is so that the character has just told of itself."""
    return bool(_DOUBTS.search(message) and any(was_said(line, said[-1:]) for line in persona))


def asks_what_was_said(message: str) -> bool:
    """Whether it was not understood."""
    return _WHAT.search(message) is not None
