"""What a character does not go along with."""

from __future__ import annotations

import re

# Who is meant is "you", or whoever is told to. Cats sleep with people, and children kiss them.
_TOLD_TO = (
    r"(?:^\W*|[.!?,;] *)(?:(?:so|and|but|well|then|ok|okay|oh|hey|hi|hello|please|pls|just|now|come"
    r"|go|here|over|on|shut up|baby|babe|honey|dear|darling|let's|lets|wanna|want to|maybe)\b\W*)*"
)
_NOBODY_ELSE = (
    r"(?:'\w+)?(?: (?!(?:my|your|his|her|our|their|its|the|an?|he|she|him|they|them|it|who|someone"
    r"|somebody|anyone|anybody|everyone|think|believe|know|say|guess)\b)[\w']+){0,5}? "
)
_PROPOSES = re.compile(
    r"\b(?:have|want|like) (?:\w+ )?sex\b|\bsex with\b|\bhorny\b"
    r"|\bnudes?\b"
    r"|\b(?:send|show) me (?:\w+ ){0,3}(?:pic|pics|picture|pictures|photo|photos)\b"
    rf"|(?:{_TOLD_TO}|\byou{_NOBODY_ELSE})(?:sleep with|kiss|marry|undress for) me\b"
    rf"|(?:{_TOLD_TO}|\b(?:i|we|me|us){_NOBODY_ELSE})sleep with you\b",
    re.IGNORECASE,
)


def is_proposition(message: str) -> bool:
    """Whether somebody asks for sex, for pictures, or to be kissed or married."""
    return _PROPOSES.search(message) is not None
