"""Makes personas from the line patterns of `lines.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from random import Random

LINES_FILE = Path(__file__).with_name("lines.toml")
_SLOT = re.compile(r"\{(a )?(\w+)\}")
SIZES = (3, 4, 4, 5, 5)
# Subjects that most people mention, so that training sees them most.
FREQUENT = {
    "hobby": 4,
    "job": 3,
    "pet": 3,
    "favorite": 3,
    "home": 2,
    "kids": 2,
    "siblings": 2,
    "partner": 2,
    "age": 2,
    "music": 2,
}


# Of the slots that take any word, so many get one, where words are given.
OPEN_SHARE = 0.5


class PersonaMaker:
    """Draws personas; each speaks to a subject once, to hobbies perhaps twice.

    With `words`, half of the slots that `lines.toml` calls open are filled with one of them: a
    value nobody could guess teaches to read it off the persona, where likely ones would be learnt
    by heart.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = words
        data = tomllib.loads(LINES_FILE.read_text(encoding="utf-8"))
        self.lines: dict[str, list[str]] = data["lines"]
        slots: dict[str, str] = data["slots"]
        self.slots = {name: values.split("|") for name, values in slots.items()}
        self._open = frozenset(data["open"].split())
        self._subjects = [
            subject for subject in self.lines for _ in range(FREQUENT.get(subject, 1))
        ]

    def persona(self, random: Random) -> tuple[str, ...]:
        """Three to five lines."""
        chosen: list[str] = []
        size = random.choice(SIZES)
        while len(chosen) < size:
            subject = random.choice(self._subjects)
            if subject not in chosen or (subject == "hobby" and chosen.count(subject) < 2):
                chosen.append(subject)
        return tuple(
            self.fill(random.choice(self.lines[subject]), random, {}) for subject in chosen
        )

    def fill(self, pattern: str, random: Random, known: dict[str, str]) -> str:
        """The pattern with a value in every slot: the `known` one, or another each time."""

        def filled(slot: re.Match[str]) -> str:
            word = known.get(slot[2]) or self.value(slot[2], random)
            return with_article(word) if slot[1] else word

        return _SLOT.sub(filled, pattern)

    def value(self, slot: str, random: Random) -> str:
        """One for a slot, without an article."""
        surprising = self.words and slot in self._open and random.random() < OPEN_SHARE
        return random.choice(self.words if surprising else self.slots[slot])


def slots_of(pattern: str) -> set[str]:
    """The names of its slots."""
    return {name for _, name in _SLOT.findall(pattern)}


def with_article(word: str) -> str:
    """ "an apple", "a pear"."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
