"""One dialogue as training sees it, and what reading a file counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference.prompt import Speaker, Turn, tidy
from training.errors import DataError

NOT_UTF8 = "cannot be read as UTF-8"
# What `errors="surrogateescape"` makes of bytes that are none.
_ESCAPED = re.compile("[\udc80-\udcff]")


class TooShort(ValueError):
    """A dialogue that nobody answers in: there is nothing to learn from it."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Speakers alternate and the first one starts; either may have no persona.

    `candidates` are, turn by turn, the wrong replies that come with some data sets (PersonaChat);
    empty where there are none. `bot` (0 or 1) is who a model is measured as: the second speaker,
    but in PersonaChat the first where the one whose persona is given opens.
    """

    source: str
    personas: tuple[tuple[str, ...], tuple[str, ...]]
    turns: tuple[str, ...]
    candidates: tuple[tuple[str, ...], ...] = ()
    bot: int = 1

    @property
    def replies(self) -> tuple[str, ...]:
        """What the speaker says whom a model is measured as."""
        return self.turns[self.bot :: 2]

    def wrong_for(self, turn: int) -> tuple[str, ...]:
        """The wrong replies that come with a turn."""
        return self.candidates[turn] if turn < len(self.candidates) else ()

    def turns_for(self, bot: int) -> list[Turn]:
        """The turns with speaker `bot` (0 or 1) as the bot."""
        return [Turn(speaker_of(index, bot), text) for index, text in enumerate(self.turns)]


def speaker_of(turn: int, bot: int) -> Speaker:
    """Who says a turn of a dialogue whose speaker `bot` (0 or 1) is the bot."""
    return "bot" if turn % 2 == bot else "person"


def all_texts(dialogues: Iterable[Dialogue]) -> Iterator[str]:
    """Everything that is said in dialogues, and the persona lines."""
    for dialogue in dialogues:
        yield from dialogue.turns
        for lines in dialogue.personas:
            yield from lines


@dataclass(slots=True)
class Damage:
    """Lines of a file that could not be read. Past `limit` of them reading stops with DataError."""

    path: str
    limit: int = 100
    lines: dict[int, str] = field(default_factory=dict)

    def add(self, line: int, reason: str) -> None:
        self.lines[line] = reason
        if len(self.lines) > self.limit:
            raise DataError(
                f"{self.path}: more than {self.limit} damaged lines "
                f"({self.first}). Is this the right format?"
            )

    @property
    def first(self) -> str:
        """The first damaged line, of which there must be one."""
        line, reason = next(iter(self.lines.items()))
        return f"the first: line {line}, {reason}"

    def __str__(self) -> str:
        shown = "; ".join(f"line {line}: {why}" for line, why in list(self.lines.items())[:5])
        more = f"; and {len(self.lines) - 5} more" if len(self.lines) > 5 else ""
        return f"{self.path}: {len(self.lines)} damaged lines skipped ({shown}{more})"


def dialogue_from(
    personas: Sequence[Sequence[str]], turns: Sequence[str], *, source: str
) -> Dialogue:
    """A Dialogue from JSON values; ValueError says what is wrong with them, and is TooShort where
    there are only too few turns."""
    if not isinstance(personas, list | tuple) or len(personas) != 2:
        raise ValueError("personas must be two lists of lines")
    first, second = (tuple(_texts(lines, "persona")) for lines in personas)
    spoken = tuple(_texts(turns, "turns"))
    if len(spoken) < 2:
        raise TooShort("a dialogue needs two turns")
    return Dialogue(source, (first, second), spoken)


def dialogue_json(dialogue: Dialogue) -> dict[str, Any]:
    """What `dialogue_from` reads: a line of the project's own files."""
    return {
        "source": dialogue.source,
        "personas": dialogue.personas,
        "turns": dialogue.turns,
    }


def is_utf8(text: str) -> bool:
    """Whether a text that was read with `errors="surrogateescape"` was UTF-8."""
    return _ESCAPED.search(text) is None


def _texts(values: Sequence[str], what: str) -> Iterator[str]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"{what} must be a list of texts")
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{what} holds {value!r}, which is not text")
        if tidy(value):  # else a prompt would show nothing of it
            yield value.strip()
        elif what == "turns":
            raise ValueError("a turn is empty")
