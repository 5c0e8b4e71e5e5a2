"""What "and you?" asks for, and "what kind?"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.persona.facts import asked_fact
from inference.persona.kinds import AGE, HOBBY, HOME, JOB, NAME, ORIGIN, Kind
from inference.persona.names import name_told
from inference.persona.question import QUESTION_CHARACTERS, closing, own_clauses
from inference.prompt import Turn, straight, texts_of

_ASKS_BACK = re.compile(
    r"(?:^|[\s,.!?;-])(?:(?:and|what about|how about) (?:you|yours|yourself)|yours|wbu|hbu"
    r"|(?:^|(?<=[,.!?;-]) *)you)\s*[?!.]*\s*$",
    re.IGNORECASE,
)
_ASKS_WHICH = re.compile(
    r"^\W*(?:(?:and|oh|nice|cool|ok|lol|haha)\b\W*)*"
    r"(?:what|which) (?:kinds?|sorts?|types?|ones?)(?: of(?: them)?)?\W*$",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"[^.!?]+\?\W*$")
# What somebody can tell of themself in passing, and what is mostly the answer to a question.
_PLAIN, _ANSWERS = (AGE, HOME, ORIGIN), (HOBBY, JOB)
# What else they say of themself, and the question that it answers.
_HANDED_BACK = (
    (
        re.compile(r"i(?: have|'ve got| own) (?:an?|two|three|four|five|no|some|many|\d+) (.+)"),
        "do you have any {}?",
    ),
    (re.compile(r"i (?:really )?(?:love|like|enjoy|hate) (?!you\b)(.+)"), "do you like {}?"),
    (re.compile(r"i (?:can )?(play|speak|drive|smoke|eat|drink) (.+)"), "do you {} {}?"),
    (re.compile(r"i(?: am|'m) (an? .+|married|single)"), "are you {}?"),
)


def question_behind(turns: Sequence[Turn]) -> str | None:
    """The question that the last turn hands back with "and you?": what the person has told of
    themself, or what the character has just asked; or that "what kind?" goes on with. None where it
    does neither."""
    message = closing(turns[-1].text) if turns else ""
    if _ASKS_WHICH.match(message):
        return _which_of_those(turns)
    back = _ASKS_BACK.search(message)
    if back is None:
        return None
    told = message[: back.start()]
    bot, person = texts_of("bot", turns)[-1:], texts_of("person", turns[:-1])[-1:]
    asked = _QUESTION.search(straight(bot[0][-QUESTION_CHARACTERS:])) if bot else None
    return (
        _answered_by(told, _PLAIN)
        or (asked.group().strip() if asked else None)
        or _answered_by(told, _ANSWERS)
        or _said_by(told)
        or (_answered_by(closing(person[0]), (*_PLAIN, *_ANSWERS)) if person else None)
    )


def _which_of_those(turns: Sequence[Turn]) -> str | None:
    """ "What music do you like?" of "do you like music?"."""
    before = texts_of("person", turns[:-1])[-1:]
    verb, _, what = (
        (asked_fact(before[0]) or "" if before else "").removeprefix("do ").partition(" ")
    )
    what = what.removeprefix("any ").removeprefix("an ").removeprefix("a ")
    return f"what {what} do you {verb}?" if what and verb != "am" else None


def _answered_by(text: str, kinds: Sequence[Kind]) -> str | None:
    """The question of one of these kinds, or of the name, that somebody has answered unasked."""
    if name_told(text):
        return NAME.question
    clauses = own_clauses(text)
    return next((kind.question for kind in kinds if kind.told_in(clauses)), None)


def _said_by(text: str) -> str | None:
    """What somebody says of themself, as a question: "I have two cats" asks for cats."""
    for clause in reversed(own_clauses(text)):
        for pattern, question in _HANDED_BACK:
            if found := pattern.match(clause.lower().strip()):
                return question.format(*found.groups())
    return None
