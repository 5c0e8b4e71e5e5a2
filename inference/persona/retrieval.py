"""Which line of a persona a question asks for.

By the words they share, after a few questions whose answers share none ("what do you do for a
living?", "I am a nurse."), and else by words that are near each other in meaning ("what film do you
like?", "I saw every movie about sharks."). Where in doubt it is no line: the model is left alone
then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from inference.persona.kinds import DREAM, FAMILY, HOBBY, HOME, IDENTITY, JOB, NAME, ORIGIN
from inference.persona.question import ASPECTS, any_question_at_end, question_at_end
from inference.persona.remembered import is_about_the_person
from inference.persona.words import content, content_words

# How near the words of the first come to those of the second, from -1 to 1.
Nearness = Callable[[Sequence[str], Sequence[str]], float]

_FAVORITE = re.compile(r"\bfavorite\b")
_ANYTHING = re.compile(r"\babout you(?:rself)?\W*$|\bwhat else\W*$|\btell me more\W*$")
_INTRODUCES = re.compile(r"\byourself\W*$|\b(?:tell|know|hear|learn)\b.*\babout you\W*$")
# "Have you seen it?": no line knows what. But "do you like jam on it?" is about jam.
_OF_THAT = re.compile(
    r"\b(?!(?:on|in|of|for|with|to|about|at|from) )\w+ (?:it|that|this|them|there)\W*$"
)
_ASKS_AGAIN = re.compile(r"\bhow many\b|\b(?:name|named|called|again)\b", re.IGNORECASE)
# Lines that answer one question each, and come near to many.
_PLAIN = (NAME, HOME, ORIGIN)
# Several lines that tell who somebody is are no longer together.
INTRODUCTION_WORDS = 22
# What a question says of everything; the word beside it says what of.
_VAGUE_WORDS = """
    favorite favourite like love enjoy prefer best good better great bad kind type sort many much
    often long old time times still ever always usually really lately today yesterday tonight day
    thing things something anything everything any one ones think know tell mean believe guess sure
    feel want would going go happen happened name called color colour way lot people person yours
    please talk said say ask question nice fun make makes making made new last first weekend big
    small well
"""
_VAGUE = frozenset(_VAGUE_WORDS.split())
# Of questions put to characters who have nothing on them, 2 or 3 in 100 come so near to a line; of
# those whose answer is a line with other words, more than half. A book is that near to a film, and
# is nobody's favorite film.
NEAR, NEAR_FAVORITE = 0.4, 0.6


def line_asked_for(question: str, persona: Sequence[str], said: Sequence[str] = ()) -> str | None:
    """The line that answers a message; None where it asks for none of them.

    It is of the kind that is asked for, or has all words of some meaning in the question; two lines
    tell who somebody is. What was `said` just now is told again to whoever asks again who somebody
    is, how many or what they are called; who asks for more of it is not told something else.
    """
    asked = question_at_end(question)
    if asked is None:
        return None
    news = _not_said(persona, said)
    if kind := next((kind for kind in IDENTITY if kind.is_asked(asked)), None):
        return kind.line_of(persona)
    if HOBBY.is_asked(asked):
        job = JOB.line_of(persona)
        return HOBBY.line_of([line for line in news if line != job])
    if DREAM.is_asked(asked):
        return DREAM.line_of(news)
    if FAMILY.is_asked(asked):
        return FAMILY.line_of(news)
    if _ANYTHING.search(asked):
        return _introduction(news, lines=2 if _INTRODUCES.search(asked) else 1)
    if is_about_the_person(asked):
        return None
    # A favorite color is one of all that has a color; other questions say little by such words.
    wanted = content(asked) - (set() if _FAVORITE.search(asked) else ASPECTS | _VAGUE)
    line = next((line for line in persona if wanted and wanted <= content(line)), None)
    return line if line in news or _ASKS_AGAIN.search(question) else None


def _introduction(news: Sequence[str], *, lines: int) -> str | None:
    """What somebody tells of themself first: so many lines, or fewer where they are long."""
    told = [line for line in news if not NAME.line_of([line])][:lines]
    while len(told) > 1 and len(" ".join(told).split()) > INTRODUCTION_WORDS:
        told.pop()
    return " ".join(told) or None


def nearest_line(
    question: str,
    persona: Sequence[str],
    said: Sequence[str],
    nearness: Nearness,
) -> str | None:
    """The line whose words come nearest to those of a question, if they come near. None where it
    was `said` just now: the second nearest is no answer."""
    asked = any_question_at_end(question)
    if asked is None or is_about_the_person(asked) or _OF_THAT.search(asked):
        return None
    if any(kind.is_asked(asked) for kind in IDENTITY):
        return None  # lines that answer those are told by how they begin
    wanted = [word for word in content_words(asked) if word not in _VAGUE]
    if not wanted:
        return None
    lines = [line for line in persona if not any(kind.told_in([line]) for kind in _PLAIN)]
    near = {line: nearness(wanted, content_words(line)) for line in lines}
    nearest = max(near, key=near.__getitem__, default=None)
    needed = NEAR_FAVORITE if _FAVORITE.search(asked) else NEAR
    if nearest is None or near[nearest] < needed or was_said(nearest, said):
        return None
    return nearest


def _not_said(persona: Sequence[str], said: Sequence[str]) -> list[str]:
    return [line for line in persona if not was_said(line, said)]


def was_said(line: str, said: Sequence[str]) -> bool:
    """Whether one of these texts has the line word for word."""
    return any(line.lower().rstrip(".!") in text.lower() for text in said)
