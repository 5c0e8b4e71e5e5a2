"""What "and you?" asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.kinds import AGE, HOBBY, HOME, JOB, NAME, ORIGIN, Kind
from inference.names import name_told
from inference.prompt import Turn, straight, texts_of
from inference.words import closing

_ASKS_BACK = re.compile(
    r"(?:^|[\s,.!?;-])(?:(?:and|what about|how about) (?:you|u|yours|yourself)|yours|wbu|hbu"
    r"|(?:^|(?<=[,.!?;-]) *)(?:you|u))\s*[?!.]*\s*$",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"[^.!?]+\?\W*$")
_SENTENCE = re.compile(r"[^.!?,;]+")
_LEAD = re.compile(r"^\W*(?:(?:well|oh|and|so|yes|yeah|no|hi|hello|hey)\b[, ]*)*", re.IGNORECASE)
# What somebody can tell of themself in passing, and what is mostly the answer to a question.
_PLAIN, _ANSWERS = (AGE, ORIGIN, HOME), (HOBBY, JOB)


def question_behind(turns: Sequence[Turn]) -> str | None:
    """The question that the last turn hands back with "and you?": what the person has told of
    themself, or what the character has just asked. None where it hands none back."""
    message = closing(turns[-1].text) if turns else ""
    back = _ASKS_BACK.search(message)
    if back is None:
        return None
    told = message[: back.start()]
    bot, person = texts_of("bot", turns)[-1:], texts_of("person", turns[:-1])[-1:]
    asked = _QUESTION.search(straight(bot[0])) if bot else None
    return (
        _answered_by(told, _PLAIN)
        or (asked.group().strip() if asked else None)
        or _answered_by(told, _ANSWERS)
        or (_answered_by(closing(person[0]), (*_PLAIN, *_ANSWERS)) if person else None)
    )


def _answered_by(text: str, kinds: Sequence[Kind]) -> str | None:
    """The question of one of these kinds, or of the name, that somebody has answered unasked."""
    if name_told(text):
        return NAME.question
    told = [_LEAD.sub("", sentence) for sentence in _SENTENCE.findall(text)]
    return next((kind.question for kind in kinds if kind.line_of(told)), None)
