"""Makes personas from the line patterns of `lines.toml`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from random import Random

LINES_FILE = Path(__file__).with_name("lines.toml")
_SLOT = re.compile(r"\{(a )?(\w+)\}")
SIZES = (3, 4, 4, 5, 5)
# Subjects that most people mention, so that training sees them most.
FREQUENT = {"hobby": 4, "job": 3, "pet": 3, "favorite": 3, "home": 2, "kids": 2}


class PersonaMaker:
    """Draws personas; each speaks to a subject once, hobbies and favourites perhaps more often."""

    def __init__(self) -> None:
        data = tomllib.loads(LINES_FILE.read_text(encoding="utf-8"))
        self.lines: dict[str, list[str]] = data["lines"]
        self.slots = {name: values.split("|") for name, values in data["slots"].items()}
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
        return tuple(self._fill(random.choice(self.lines[subject]), random) for subject in chosen)

    def _fill(self, pattern: str, random: Random) -> str:
        def value(slot: re.Match[str]) -> str:
            word = random.choice(self.slots[slot[2]])
            return with_article(word) if slot[1] else word

        return _SLOT.sub(value, pattern)


def with_article(word: str) -> str:
    """ "an apple", "a pear"."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
