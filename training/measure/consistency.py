"""Does a character answer questions about itself as its persona says (`consistency.toml`), and
does it take up what somebody tells it (`reactions.toml`)?

A yes/no/neutral check by patterns against what is known to be right, the idea of Dialogue NLI
(Welleck et al. 2019) without a trained judge.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from inference.prompt import Turn
from training.measure.replies import Ask

QUESTIONS_FILE = Path(__file__).with_name("consistency.toml")
REACTIONS_FILE = Path(__file__).with_name("reactions.toml")
Verdict = Literal["consistent", "contradiction", "neutral"]


@dataclass(frozen=True, slots=True)
class PersonaQuestion:
    """What is said to a character of these lines; `yes` matches what is right, which the persona
    makes true or the message asks for, and `no` what is wrong."""

    lines: tuple[str, ...]
    ask: str
    yes: re.Pattern[str]
    no: re.Pattern[str]

    def judge(self, reply: str) -> Verdict:
        """What is wrong in a reply outweighs what is right."""
        text = reply.lower()
        if self.no.search(text):
            return "contradiction"
        return "consistent" if self.yes.search(text) else "neutral"

    def as_ask(self) -> Ask:
        """The question as the first turn of a conversation."""
        return Ask(self.lines, [Turn("person", self.ask)])


def persona_questions() -> tuple[PersonaQuestion, ...]:
    """Every question with the persona that it is put to."""
    return _read(QUESTIONS_FILE)


def reaction_messages() -> tuple[PersonaQuestion, ...]:
    """What people tell a character; the replies are to take it up."""
    return _read(REACTIONS_FILE)


@cache
def _read(path: Path) -> tuple[PersonaQuestion, ...]:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(
        PersonaQuestion(
            tuple(persona["lines"]),
            question["ask"],
            re.compile(question["yes"]),
            re.compile(question["no"]),
        )
        for persona in data["persona"]
        for question in persona["questions"]
    )


def shares(
    questions: Sequence[PersonaQuestion],
    replies: Sequence[str],
    names: tuple[str, str] = ("persona_consistent", "persona_contradiction"),
) -> dict[str, float]:
    """Share of replies that are right and of those that are wrong, by these names; the rest is
    neutral."""
    pairs = zip(questions, replies, strict=True)
    verdicts = Counter(question.judge(reply) for question, reply in pairs)
    right, wrong = names
    return {
        right: verdicts["consistent"] / len(questions),
        wrong: verdicts["contradiction"] / len(questions),
    }
