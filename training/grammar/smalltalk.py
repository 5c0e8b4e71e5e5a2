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
# How often a reaction goes on with a line of one's own, or else with a question; and how often it
# is nothing but that question.
OWN_SHARE, MORE_SHARE, ONLY_ASKED_SHARE = 0.5, 0.6, 0.3


@dataclass(frozen=True, slots=True)
class Exchange:
    """Something to say and what may come after it; `more` are questions with their answers and
    last words. What is `passing` is no fact about the speaker; `subject` may be empty. What does
    not `opens` needs something that was said before; what `ends` is the last of a conversation.
    `general` fit any statement on the subject."""

    passing: bool
    subject: str
    say: Sequence[str]
    react: Sequence[str]
    more: Sequence[tuple[str, Sequence[str], Sequence[str]]]
    opens: bool
    ends: bool
    general: Sequence[str]

    @property
    def statements(self) -> Sequence[str]:
        """The reactions that ask nothing."""
        return _statements(self.react)

    def texts(self, maker: PersonaMaker, random: Random, own: Sequence[str]) -> list[str]:
        """Two or four turns, the speakers taking turns; `own` are the second one's lines on the
        subject."""
        known: dict[str, str] = {}

        def one(options: Sequence[str], *, invents: bool = False) -> str:
            fitting = [text for text in options if invents or slots_of(text) <= known.keys()]
            pattern = random.choice(fitting or options)
            for slot in sorted(slots_of(pattern) - known.keys()):
                known[slot] = maker.value(slot, random)
            return maker.fill(pattern, random, known)

        said = one(self.say, invents=True)
        if own and random.random() < OWN_SHARE:
            return [said, f"{one(self.statements)} {random.choice(own)}"]
        asked = [more for more in self.more if slots_of(more[0]) <= known.keys()]
        if not asked or random.random() >= MORE_SHARE:
            return [said, one(self.react)]
        question, answers, last_words = random.choice(asked)
        reaction = one([question])
        if random.random() >= ONLY_ASKED_SHARE:
            reaction = f"{one(self.statements)} {reaction}"
        return [said, reaction, one(answers, invents=True), one(last_words)]


@cache
def exchanges() -> tuple[Exchange, ...]:
    """Those of the file."""
    data = tomllib.loads(SMALLTALK_FILE.read_text(encoding="utf-8"))
    return tuple(
        Exchange(
            item.get("passing", False),
            item.get("subject", ""),
            item["say"],
            item["react"],
            [(question, answers, last) for question, answers, last in item.get("more", ())],
            item.get("opens", True),
            item.get("ends", False),
            item.get("general", _statements(item["react"])),
        )
        for item in data["exchange"]
    )


@cache
def reactions_to(subject: str) -> Sequence[str]:
    """What fits any statement on a subject; empty where nothing does."""
    return tuple(
        text
        for exchange in exchanges()
        if subject and exchange.subject == subject
        for text in exchange.general
        if not slots_of(text)
    )


def _statements(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if "?" not in text]
