"""What people say unasked, and what fits it (`smalltalk.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from training.grammar.lines import PersonaMaker, slots_of

SMALLTALK_FILE = Path(__file__).with_name("smalltalk.toml")
# How often a reaction asks something, does so without another word, and has the last word after it.
MORE_SHARE, ONLY_ASKED_SHARE, LAST_WORD_SHARE = 0.6, 0.3, 0.8


@dataclass(frozen=True, slots=True)
class Exchange:
    """Something to say and what may come after it; `more` are questions with their answers and
    last words. What is `passing` is no fact about the speaker."""

    passing: bool
    say: Sequence[str]
    react: Sequence[str]
    more: Sequence[tuple[str, Sequence[str], Sequence[str]]]

    def texts(self, maker: PersonaMaker, random: Random) -> list[str]:
        """Two to four turns, the speakers taking turns."""
        known: dict[str, str] = {}

        def one(options: Sequence[str], *, invents: bool = False) -> str:
            fitting = [text for text in options if invents or slots_of(text) <= known.keys()]
            pattern = random.choice(fitting or options)
            for slot in sorted(slots_of(pattern) - known.keys()):
                known[slot] = maker.fill(f"{{{slot}}}", random, {})
            return maker.fill(pattern, random, known)

        said = one(self.say, invents=True)
        asked = [more for more in self.more if slots_of(more[0]) <= known.keys()]
        if not asked or random.random() >= MORE_SHARE:
            return [said, one(self.react)]
        question, answers, last_words = random.choice(asked)
        reaction = one([question])
        if random.random() >= ONLY_ASKED_SHARE:
            reaction = f"{one([text for text in self.react if '?' not in text])} {reaction}"
        texts = [said, reaction, one(answers, invents=True)]
        if random.random() < LAST_WORD_SHARE:
            texts.append(one(last_words))
        return texts


@cache
def exchanges() -> tuple[Exchange, ...]:
    """Those of the file."""
    data = tomllib.loads(SMALLTALK_FILE.read_text(encoding="utf-8"))
    return tuple(
        Exchange(
            item.get("passing", False),
            item["say"],
            item["react"],
            [(question, answers, last) for question, answers, last in item.get("more", ())],
        )
        for item in data["exchange"]
    )
