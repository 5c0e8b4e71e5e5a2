"""Gives lower-cased English its capitals back while it streams.

Some bundles were trained on lower-cased text, which halves what a small model has to learn of each
word; a reader still expects capitals. Restored are the first letter of a sentence, the pronoun "I",
names that are always written with a capital, and names that this conversation wrote so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

# Always written this way; words that also mean something else (may, march, turkey) are not here.
_NAMES = """
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February April June July
    September October November December Christmas Halloween Thanksgiving Easter
    English Spanish French German Italian Chinese Japanese Korean Russian Mexican American British
    Canadian Indian Irish Scottish Australian African European Asian Greek Dutch Swedish Portuguese
    America England Britain Scotland Ireland France Germany Italy Spain Portugal Mexico Canada Japan
    India Australia Russia Brazil Korea Europe Africa Asia Greece Egypt Sweden Norway
    California Texas Florida Ohio Michigan Oregon Colorado Alaska Hawaii Virginia Arizona Nevada
    London Paris Rome Berlin Tokyo Chicago Boston Seattle Vegas Hollywood Disney Disneyland
    Netflix YouTube Facebook Instagram Google Spotify Nintendo PlayStation Xbox iPhone Walmart
    Toyota Honda BMW Tesla Batman Superman Beatles Shakespeare
    TV USA UK NYC NFL NBA NASA DVD CD DJ PhD Mr Mrs Dr
"""
NAMES = {name.lower(): name for name in _NAMES.split()}
# Also given names, but in chat nearly always the plain word.
_PLAIN_WORDS = frozenset(
    [
        "art",
        "bill",
        "drew",
        "grace",
        "happy",
        "hope",
        "lucky",
        "mark",
        "may",
        "pat",
        "rose",
        "so",
        "sue",
        "sunny",
        "will",
        "yes",
        "no",
    ]
)
_NO_NAMES = frozenset(["a", "also", "an", "my", "not", "on", "the", "that", "what"])
_APOSTROPHE = re.compile("['\u2019]")
_LETTER = r"[^\W\d_]"
_UNIT = re.compile(
    rf"(?P<word>{_LETTER}+(?:['\u2019]{_LETTER}*)*)|(?P<stop>[.!?\u2026]+)|(?P<space>\s+)"
    r"|(?P<digit>\d)|(?P<other>.)",
    re.DOTALL,
)
_UNFINISHED_WORD = re.compile(rf"{_LETTER}+(?:['\u2019]{_LETTER}*)*\Z")
_CAPITALISED = re.compile(rf"(?<![\w'\u2019]){_LETTER}+")
_CALLED = re.compile(rf"\b[Mm]y name is ((?:[^\W\d_a-z]{_LETTER}+ ?)+)")


class CaseRestorer:
    """Restores the capitals of one reply. A word is held back until it is whole.

    `names` maps lower-case words of this conversation to how they are written, `known` any others
    beside those that everybody knows.
    """

    def __init__(
        self,
        names: Mapping[str, str] = MappingProxyType({}),
        known: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._names, self._known = names, known
        self._held = ""
        self._sentence_starts = True
        self._after_stop = self._after_digit = False
        self._said = ("", "")

    def add(self, text: str) -> str:
        """The text that is certain now, capitals restored."""
        if text.isalpha():  # more of a word
            self._held += text
            return ""
        if text[:1] == " " and text[1:].isalpha():  # the next word, as nearly every token is
            return self.finish() + self._space(text)
        text = self._held + text
        unfinished = _UNFINISHED_WORD.search(text)
        end = unfinished.start() if unfinished else len(text)
        self._held = text[end:]
        return self._restore(text[:end])

    def _space(self, text: str) -> str:
        self._sentence_starts |= self._after_stop
        self._held = text[1:]
        return " "

    def finish(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return self._restore(held) if held else ""

    def _restore(self, text: str) -> str:
        return "".join([self._unit(match) for match in _UNIT.finditer(text)])

    def _unit(self, match: re.Match[str]) -> str:
        text = match.group()
        kind = match.lastgroup
        if kind == "word":
            text = self._word(text)
        self._after_digit = kind == "digit"
        if kind == "space":
            self._sentence_starts |= self._after_stop
        if kind == "stop":
            self._after_stop = True
        elif kind in {"word", "digit"}:
            self._sentence_starts = self._after_stop = False
        return text

    def _word(self, word: str) -> str:
        base = _APOSTROPHE.split(word, maxsplit=1)[0]
        before, self._said = self._said, (self._said[1], word)
        if self._after_digit:  # "1st"
            return word
        if base == "i":
            return "I" + word[1:]
        name = self._names.get(base) or self._known.get(base) or NAMES.get(base)
        if name:
            return name + word[len(base) :]
        is_name = before == ("name", "is") and word not in _NO_NAMES
        if (self._sentence_starts or is_name) and len(first := word[0].upper()) == 1:
            return first + word[1:]
        return word


def names_in(texts: Iterable[str]) -> dict[str, str]:
    """Words that the texts write with a capital where no sentence starts, by their lower case."""
    names: dict[str, str] = {}
    for text in texts:
        names.update(_names_of(text))
    return names


@lru_cache(maxsize=4096)
def _names_of(text: str) -> tuple[tuple[str, str], ...]:
    """Single capitalised words: in "New York" neither word is a name wherever else it stands. But
    all of what somebody is called."""
    called = tuple(
        (name.lower(), name)
        for names in _CALLED.findall(text[:2000])
        for name in names.split()
        if name.lower() not in _PLAIN_WORDS
    )
    words = [(match.group(), match.start()) for match in _CAPITALISED.finditer(text[:2000])]
    capitals = [word[0].isupper() and word != "I" for word, _ in words]
    if sum(capitals) * 2 > len(words):
        return called  # a title, or somebody who shouts
    found = list(called)
    for place, (word, start) in enumerate(words):
        beside = capitals[max(0, place - 1) : place] + capitals[place + 1 : place + 2]
        if not capitals[place] or any(beside) or not word[1:].islower():
            continue
        before = text[:start].rstrip()[-1:]
        if (before.isalnum() or before == ",") and word.lower() not in _PLAIN_WORDS:
            found.append((word.lower(), word))
    return tuple(found)
