"""The words of some meaning in a text, and the same said to somebody else."""

from __future__ import annotations

import re

from inference.vocabulary import FUNCTION_WORDS

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ENDINGS = ("ing", "ed", "es", "'s", "s")

_TURNED = {
    "i am": "you are",
    "i'm": "you are",
    "im": "you are",
    "i was": "you were",
    "i": "you",
    "me": "you",
    "my": "your",
    "myself": "yourself",
    "we": "you",
    "us": "you",
    "our": "your",
}
# Not in "the US", nor "US" for the country.
_FIRST_PERSON = re.compile(rf"(?<!\bthe )\b(?!US\b)(?i:{'|'.join(_TURNED)})\b")

# To a pattern that ignores case they are the letters i and s; to `lower` they are not.
_ALIKE = str.maketrans({"\u0130": "i", "\u0131": "i", "\u017f": "s"})


def folded(text: str) -> str:
    """In lower case, as a pattern that ignores case reads it."""
    return text.translate(_ALIKE).lower()


def turned(text: str) -> str:
    """What somebody says of themself, as it is said to them: "my dog" becomes "your dog"."""
    return _FIRST_PERSON.sub(lambda found: _TURNED[folded(found[0])], text)


def words(text: str) -> list[str]:
    """In lower case."""
    return _WORD.findall(text.lower())


def content_words(text: str) -> list[str]:
    """Those that are no function words, as they stand there."""
    return [word for word in words(text) if word.partition("'")[0] not in FUNCTION_WORDS]


def content(text: str) -> set[str]:
    """Those that are no function words, without their endings: "walking" and "walks" are one."""
    return {_stem(word) for word in content_words(text)}


def _stem(word: str) -> str:
    ending = next((end for end in _ENDINGS if word.endswith(end)), "")
    return word[: -len(ending)] if ending and len(word) > len(ending) + 2 else word
