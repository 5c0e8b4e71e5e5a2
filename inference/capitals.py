"""Names, by the capitals that the texts of a conversation give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
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
_SUFFIX = re.compile("['\u2019][^ -]*\\Z")
LETTER = r"[^\W\d_]"
# What may stand between two words of a name: "Cape Coast", "Porto-Novo", but also "Port of Spain".
GAP = re.compile("[ -]")
_BETWEEN = "of the de da do dos del di du la le el los las van von der den y"
_LINKS = frozenset(_BETWEEN.split())
_WORD = re.compile(rf"{LETTER}+(?:'{LETTER}+)*")
_STRETCH = re.compile(rf"(?<![\w']){_WORD.pattern}(?:[ -]{_WORD.pattern})*")
_CALLED = re.compile(rf"\b[Mm]y name is ((?:[^\W\d_a-z]{LETTER}+ ?)+)")


def names_in(texts: Iterable[str]) -> dict[str, str]:
    """Names that the texts write with capitals where no sentence starts, by their lower case.

    One of several words may begin a sentence if its first word has a capital elsewhere too.
    """
    found = [_names_of(text[:_LOOKED_THROUGH]) for text in texts]
    names = {name.lower(): name for text in found for name in text.certain}
    capitals = {*NAMES, *(word for name in names for word in GAP.split(name))} - FUNCTION_WORDS
    for name in (name for text in found for name in text.possible):
        if GAP.split(name)[0].lower() in capitals:
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
            elif GAP.search(name):
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
            yield start, without_suffix(stretch[start:end])
            start = -1
    if start >= 0:
        yield start, without_suffix(stretch[start:end])


def _after_first(name: str) -> str:
    """What is left of a name of several words without the first; empty if that is a single word."""
    _, *others = _WORD.finditer(name)
    start = next((word.start() for word in others if _is_capitalised(word.group())), len(name))
    return name[start:] if GAP.search(name, start) else ""


def _is_name(name: str) -> bool:
    """Not what somebody shouts; and no word that is more often none."""
    if GAP.search(name):
        return not any(len(word) > 1 and word.isupper() for word in GAP.split(name))
    return name[1:].islower() and name.lower() not in _PLAIN_WORDS


def _is_capitalised(word: str) -> bool:
    return word[0].isupper() and without_suffix(word) != "I"


def without_suffix(word: str) -> str:
    """Without what follows an apostrophe in it, or in its last word."""
    suffix = _SUFFIX.search(word)
    return word[: suffix.start()] if suffix else word
