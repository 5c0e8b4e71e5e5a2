"""Gives lower-cased English its capitals back while it streams.

Some bundles were trained on lower-cased text, which halves what a small model has to learn of each
word; a reader still expects capitals. Restored are the first letter of a sentence, the pronoun "I",
names that are always written with a capital, and names that this conversation wrote so, be they of
one word or of several.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from inference.prompt import straight
from inference.vocabulary import FUNCTION_WORDS

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
_PLAIN = "art bill drew grace happy hope lucky mark may pat rose so sue sunny will yes no"
_PLAIN_WORDS = frozenset(_PLAIN.split())
# So much of a text is looked through for names, and kept.
_LOOKED_THROUGH = 2000
_NO_NAMES = frozenset(["a", "also", "an", "my", "not", "on", "the", "that", "what"])
_SUFFIX = re.compile("['\u2019][^ -]*\\Z")
_LETTER = r"[^\W\d_]"
_UNIT = re.compile(
    rf"(?P<word>{_LETTER}+(?:['\u2019]{_LETTER}*)*)|(?P<stop>[.!?\u2026]+)|(?P<space>\s+)"
    r"|(?P<digit>\d)|(?P<other>.)",
    re.DOTALL,
)
# What may stand between two words of a name: "Cape Coast", "Porto-Novo", but also "Port of Spain".
_GAP = re.compile("[ -]")
_BETWEEN = "of the de da do dos del di du la le el los las van von der den y"
_LINKS = frozenset(_BETWEEN.split())
_WORD = re.compile(rf"{_LETTER}+(?:'{_LETTER}+)*")
_STRETCH = re.compile(rf"(?<![\w']){_WORD.pattern}(?:[ -]{_WORD.pattern})*")
_CALLED = re.compile(rf"\b[Mm]y name is ((?:[^\W\d_a-z]{_LETTER}+ ?)+)")


class CaseRestorer:
    """Restores the capitals of one reply. A word is held back until it is whole, and words that a
    longer name begins with until it is known whether the rest follows.

    `names` maps names of this conversation, of one word or several, from lower case to how they are
    written; `known` any other words beside those that everybody knows.
    """

    def __init__(
        self,
        names: Mapping[str, str] = MappingProxyType({}),
        known: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._names, self._known = names, known
        self._begun = {name[: gap.start()] for name in names for gap in _GAP.finditer(name)}
        self._held = ""
        self._holds_words = False
        self._sentence_starts = True
        self._after_stop = self._after_digit = False
        self._said = ("", "")

    def add(self, text: str) -> str:
        """The text that is certain now, capitals restored."""
        if text.isalpha():  # more of a word
            self._held += text
            return ""
        is_word = text[:1] == " " and text[1:].isalpha()  # the next one, as nearly every token is
        if is_word and not self._holds_words and self._held not in self._begun:
            return self.finish() + self._space(text)
        return self._restore(self._held + text)

    def _space(self, text: str) -> str:
        self._sentence_starts |= self._after_stop
        self._after_digit = False
        self._held = text[1:]
        return " "

    def finish(self) -> str:
        """What was held back."""
        return self._restore(self._held, is_all=True) if self._held else ""

    def _restore(self, text: str, *, is_all: bool = False) -> str:
        """What is certain of the text, capitals restored; the rest is held back. If that `is_all`,
        it is certain."""
        parts: list[str] = []
        place = 0
        while unit := _UNIT.match(text, place):
            name_end = 0
            if unit.lastgroup == "word":
                name_end, may_go_on = self._name_at(unit)
                if may_go_on and not is_all:
                    break
            parts.append(self._name(text[place:name_end]) if name_end else self._unit(unit))
            place = name_end or unit.end()
        self._held = text[place:]
        self._holds_words = _GAP.search(self._held) is not None
        return "".join(parts)

    def _name_at(self, word: re.Match[str]) -> tuple[int, bool]:
        """Where the longest name of several words ends that begins with this word, 0 if none does;
        and whether the text ends before that, or the end of the word, is certain."""
        text, start, end = word.string, word.start(), word.end()
        found = 0
        while end < len(text):
            if text[start:end] not in self._begun or not _GAP.match(text, end) or self._after_digit:
                return found, False
            following = _UNIT.match(text, end + 1)
            if following and following.lastgroup != "word":
                return found, False
            end = following.end() if following else len(text)
            if _base(text[start:end]) in self._names:
                found = end
        return found, True

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

    def _name(self, text: str) -> str:
        """One of several words."""
        self._said = ("", "")
        self._sentence_starts = self._after_stop = False
        base = _base(text)
        return self._names[base] + text[len(base) :]

    def _word(self, word: str) -> str:
        base = _base(word)
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
    """Names that the texts write with capitals where no sentence starts, by their lower case.

    One of several words may begin a sentence if its first word has a capital elsewhere too.
    """
    found = [_names_of(text[:_LOOKED_THROUGH]) for text in texts]
    names = {name.lower(): name for text in found for name in text.certain}
    capitals = {*NAMES, *(word for name in names for word in _GAP.split(name))} - FUNCTION_WORDS
    for name in (name for text in found for name in text.possible):
        if _GAP.split(name)[0].lower() in capitals:
            names[name.lower()] = name
    return names


class _Names(NamedTuple):
    """What a text writes with capitals; `possible` are names of several words of which the first
    may have its capital from the sentence that it begins."""

    certain: Sequence[str]
    possible: Sequence[str]


@lru_cache(maxsize=4096)
def _names_of(text: str) -> _Names:
    """Of neighbours that have capitals neither is a name wherever else it stands: "New York" is one
    in this order. But all of what somebody is called is."""
    text = straight(text)
    called = [name for names in _CALLED.findall(text) for name in names.split()]
    called = [name for name in called if name.lower() not in _PLAIN_WORDS]
    words = _WORD.findall(text)
    if sum(map(_is_capitalised, words)) * 2 > len(words):
        return _Names(called, ())  # a title, or somebody who shouts
    certain, possible = [], []
    for stretch in _STRETCH.finditer(text):
        before = text[: stretch.start()].rstrip()[-1:]
        is_within = before.isalnum() or before == ","
        for place, name in _runs(stretch.group()):
            if place or is_within:
                certain.append(name)
            elif _GAP.search(name):
                possible.append(name)
                certain.append(_after_first(name))
    return _Names([*called, *filter(_is_name, certain)], [*filter(_is_name, possible)])


def _runs(stretch: str) -> Iterator[tuple[int, str]]:
    """Words with capitals, as many as follow on each other, and where the first of them begins."""
    start, end = -1, 0
    for word in _WORD.finditer(stretch):
        if _is_capitalised(word.group()):
            start, end = word.start() if start < 0 else start, word.end()
        elif start >= 0 and word.group() not in _LINKS:
            yield start, _base(stretch[start:end])
            start = -1
    if start >= 0:
        yield start, _base(stretch[start:end])


def _after_first(name: str) -> str:
    """What is left of a name of several words without the first; empty if that is a single word."""
    _, *others = _WORD.finditer(name)
    start = next((word.start() for word in others if _is_capitalised(word.group())), len(name))
    return name[start:] if _GAP.search(name, start) else ""


def _is_name(name: str) -> bool:
    """Not what somebody shouts; and no word that is more often none."""
    if _GAP.search(name):
        return not any(len(word) > 1 and word.isupper() for word in _GAP.split(name))
    return name[1:].islower() and name.lower() not in _PLAIN_WORDS


def _is_capitalised(word: str) -> bool:
    return word[0].isupper() and _base(word) != "I"


def _base(word: str) -> str:
    """Without what follows an apostrophe in it, or in its last word."""
    suffix = _SUFFIX.search(word)
    return word[: suffix.start()] if suffix else word
