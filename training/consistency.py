"""Does a character answer questions about itself as its persona says? (`consistency.toml`)

A yes/no/neutral check by question templates against known facts, the idea of Dialogue NLI (Welleck
et al. 2019) without a trained judge.
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
from training.replies import Ask

QUESTIONS_FILE = Path(__file__).with_name("consistency.toml")
Verdict = Literal["consistent", "contradiction", "neutral"]


@dataclass(frozen=True, slots=True)
class PersonaQuestion:
    """`yes` matches what the persona makes true, `no` what it makes false."""

    lines: tuple[str, ...]
    ask: str
    yes: re.Pattern[str]
    no: re.Pattern[str]

    def judge(self, reply: str) -> Verdict:
        """What a reply says of the persona; a false statement outweighs a true one."""
        text = reply.lower()
        if self.no.search(text):
            return "contradiction"
        return "consistent" if self.yes.search(text) else "neutral"

    def as_ask(self) -> Ask:
        """The question as the first turn of a conversation."""
        return Ask(self.lines, [Turn("person", self.ask)])


@cache
def persona_questions() -> tuple[PersonaQuestion, ...]:
    """Every question with the persona that it is put to."""
    data = tomllib.loads(QUESTIONS_FILE.read_text(encoding="utf-8"))
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


def shares(questions: Sequence[PersonaQuestion], replies: Sequence[str]) -> dict[str, float]:
    """Share of consistent and of contradicting replies; the rest is neutral."""
    pairs = zip(questions, replies, strict=True)
    verdicts = Counter(question.judge(reply) for question, reply in pairs)
    return {
        "persona_consistent": verdicts["consistent"] / len(questions),
        "persona_contradiction": verdicts["contradiction"] / len(questions),
    }
