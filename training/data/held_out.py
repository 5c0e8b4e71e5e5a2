"""Keeps made dialogues away from the personas that a model is measured with.

They are those of the validation dialogues, and those talked to in `evaluate`. Personas that are
drawn share no line with them. Those that are made may, by chance: a quarter of the lines that
`evaluate` asks about are what many people could say of themselves ("I am single."), and a character
that has never met them would be worse.

Corpora share personas: most of ConvAI2's are in Synthetic-Persona-Chat too, with other punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.data.readers import VALID, read_dialogues
from training.measure.consistency import persona_questions, reaction_messages


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Persona lines without case and punctuation."""

    lines: frozenset[str]

    @classmethod
    def of_file(cls, path: Path | None) -> HeldOut:
        """Every persona line in a file of dialogues, and those asked about. Raises DataError."""
        dialogues = read_dialogues(path, split=VALID) if path else ()
        personas = [lines for dialogue in dialogues for lines in dialogue.personas]
        personas += [question.lines for question in (*persona_questions(), *reaction_messages())]
        return cls(frozenset(plain(line) for lines in personas for line in lines))

    def knows(self, persona: Iterable[str]) -> bool:
        """Whether any line of a persona is held out."""
        return any(plain(line) in self.lines for line in persona)


def plain(line: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", line.lower()))
