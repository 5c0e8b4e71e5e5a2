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
# What stands before such words in one breath: "ok thanks bye", "I have to go now, good night".
_BEFORE_WORDS = """
    alright am and anyway bed but bye care chatting day evening from get go going gonna good goodbye
    goodnight got gotta great ha haha hello hey hi home hope i i'd i'll i'm i've just later leave
    leaving lol love lovely meet meeting much must need nice night now off oh ok okay one please
    really right run see sleep so soon sorry sweet take talk talking thank thanks then there tight
    time tired to today too tomorrow tonight ttyl very we weekend well will wish with work ya yeah
    yes
"""
_LEAVE_WORDS = (
    r"bye(?:[ -]?bye)*|good[ -]?bye|good ?night|(?<!\bto )see (?:you|ya)"
    r"(?: later| soon| tomorrow| around)?|(?<!\bto )(?<!ll )take care"
)
_LEAVE = re.compile(
    r"(?:^\W*|[^\w '-] *| -+ *|\bso +)"
    rf"(?:(?:{'|'.join(_BEFORE_WORDS.split())}"
    r"|(?:have|you)(?: an?)?|a lot|it (?:was|is)(?! an? ))\b\W*)*?"
    rf"\b(?P<leave>{_LEAVE_WORDS})(?=\W*$)",
    re.IGNORECASE,
)


def leave_taken(message: str) -> str:
    """The words with which somebody takes leave; empty where they do not."""
    found = None if "?" in message else _LEAVE.search(message)
    return found["leave"].lower() if found else ""


def asks_why(message: str) -> bool:
    """Whether a message asks for nothing but the reason."""
    return _WHY.search(message) is not None


def doubts_a_line(message: str, persona: Sequence[str], said: Sequence[str]) -> bool:
    """Whether a message asks if something is so that the character has just told of itself."""
    return bool(_DOUBTS.search(message) and any(was_said(line, said[-1:]) for line in persona))


def asks_what_was_said(message: str) -> bool:
    """Whether it was not understood."""
    return _WHAT.search(message) is not None
