"""Questions about somebody who has just been spoken of: "how old is he?"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.persona.names import NAMED
from inference.persona.retrieval import was_said

_POSSESSIVE = {"he": "His", "his": "His", "him": "His", "she": "Her", "her": "Her", "hers": "Her"}
_OTHERS = re.compile(
    r"\b(?:he|she|they|his|hers?|him|their|them)(?:'s)?\b|\bits name\b|\bit (?:called|named)\b",
    re.IGNORECASE,
)
_OF_US = re.compile(r"\b(?:you|your|yours|yourself|i|my|me|we|our|us)\b", re.IGNORECASE)
_ASKS = re.compile(
    r"\?|\b(?:what|where|when|who|how|why|is|does|do|did|was|are|can|has)\b", re.IGNORECASE
)
_NAME = r"(?P<name>(?:Mrs?\. |Ms\. |Dr\. )?[^\W\d_a-z][\w'-]*)"
_NAMED = re.compile(
    rf"\b(?:named|called) {_NAME}|^My (?:[a-z'-]+ )*[a-z-]+,? {_NAME.replace('name', 'of')}\b"
)


def is_about_others(question: str) -> bool:
    """Whether a question is about somebody else, and neither about whom it is put to nor about
    whoever asks."""
    found = _OTHERS.search(question)
    return bool(found and _ASKS.search(question) and not _OF_US.search(question))


def name_of_other(question: str, persona: Sequence[str], said: Sequence[str]) -> str:
    """The sentence that says what those are called who were spoken of last; empty where it is not
    asked for, or no line that was `said` has a name."""
    asked = _OTHERS.search(question)
    if asked is None or not NAMED.search(question):
        return ""
    whose = _POSSESSIVE.get(asked[0].lower().removesuffix("'s"), "Its")
    for text in reversed(said):
        for line in persona:
            named = _NAMED.search(line)
            if named and was_said(line, [text]):
                return f"{whose} name is {named['name'] or named['of']}."
    return ""
