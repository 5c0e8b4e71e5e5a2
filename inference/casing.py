"""Gives lower-cased English its capitals back while it streams.

Some bundles were trained on lower-cased text, which halves what a small model has to learn of each
word; a reader still expects capitals. Restored are the first letter of a sentence, the pronoun "I",
names that are always written with a capital, and names that this conversation wrote so, be they of
one word or of several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from inference.capitals import GAP, LETTER, NAMES, without_suffix

_NO_NAMES = frozenset(["a", "also", "an", "my", "not", "on", "the", "that", "what"])
_UNIT = re.compile(
    rf"(?P<word>{LETTER}+(?:['\u2019]{LETTER}*)*)|(?P<stop>[.!?\u2026]+)|(?P<space>\s+)"
    r"|(?P<digit>\d)|(?P<other>.)",
    re.DOTALL,
)


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
        self._begun = {name[: gap.start()] for name in names for gap in GAP.finditer(name)}
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
        self._holds_words = GAP.search(self._held) is not None
        return "".join(parts)

    def _name_at(self, word: re.Match[str]) -> tuple[int, bool]:
        """Where the longest name of several words ends that begins with this word, 0 if none does;
        and whether the text ends before that, or the end of the word, is certain."""
        text, start, end = word.string, word.start(), word.end()
        found = 0
        while end < len(text):
            if text[start:end] not in self._begun or not GAP.match(text, end) or self._after_digit:
                return found, False
            following = _UNIT.match(text, end + 1)
            if following and following.lastgroup != "word":
                return found, False
            end = following.end() if following else len(text)
            if without_suffix(text[start:end]) in self._names:
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
        base = without_suffix(text)
        return self._names[base] + text[len(base) :]

    def _word(self, word: str) -> str:
        base = without_suffix(word)
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
