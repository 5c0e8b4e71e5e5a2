"""The words of some meaning in a text."""

from __future__ import annotations

import re

from inference.vocabulary import FUNCTION_WORDS

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ENDINGS = ("ing", "ed", "es", "'s", "s")


def words(text: str) -> list[str]:
    """In lower case."""
    return _WORD.findall(text.lower())


def content(text: str) -> set[str]:
    """Those that are no function words, without their endings: "walking" and "walks" are one."""
    return {_stem(word) for word in words(text) if word.partition("'")[0] not in FUNCTION_WORDS}


def _stem(word: str) -> str:
    ending = next((end for end in _ENDINGS if word.endswith(end)), "")
    return word[: -len(ending)] if ending and len(word) > len(ending) + 2 else word
