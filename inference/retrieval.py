"""Which line of a persona a question asks for, or which sentence of the person's own.

By the words they share, after a few questions whose answers share none ("what do you do for a
living?", "I am a nurse."), and else by words that are near each other in meaning ("what film do you
like?", "I saw every movie about sharks."). Where in doubt it is no line: the model is left alone
then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from inference.kinds import DREAM, HOBBY, IDENTITY, JOB, NAME
from inference.names import name_told
from inference.words import closing, content, content_words

_QUESTION = re.compile(
    r"\b(?:what|where|when|who|whom|which|how|why|tell me|any hobbies|have (?:a hobby|hobbies))\b"
    r"[^.!?]*\??\W*$"
)
_ANY_QUESTION = re.compile(
    r"(?:^|[.!?,] *)(?:(?:and|so|but|well|then|ok|oh)[, ]+)*"
    r"(?:what|where|when|who|whom|whose|which|how|why|do|does|did|are|is|was|were|have|has|can"
    r"|could|would|will|any|tell me)\b[^.!?]*\??\W*$"
)
_FAVORITE = re.compile(r"\bfavorite\b")
_SHORT = re.compile(r"\b(what|where|when|who|how)'?s\b")
_ANYTHING = re.compile(r"\babout you(?:rself)?\W*$|\bwhat else\W*$|\btell me more\W*$")
_INTRODUCES = re.compile(r"\byourself\W*$|\b(?:tell|know|hear|learn)\b.*\babout you\W*$")
_OF_THE_PERSON = re.compile(r"\b(?:my|i)\b")
_SENTENCE = re.compile(r"[^.!?\n]+")
_ABOUT_SELF = re.compile(r"(?:\w+,? ){0,2}?(?:i|my|we|our)\b", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:name|named|called)\b", re.IGNORECASE)
_ITS_NAME = re.compile(r"(?:his|her|its|their|the) names? (?:is|was|are|were)\b", re.IGNORECASE)
# Several lines that tell who somebody is are no longer together.
INTRODUCTION_WORDS = 22
# Longer ones are stories.
REMEMBERED_CHARACTERS = 100
# What a question names of the thing that it is about; the line may say it in another word.
_ASPECTS = content(
    "name called named color colour kind type sort many much long old often time tell feel think"
)

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


def line_asked_for(
    question: str, persona: Sequence[str], said: Sequence[str] = (), heard: Sequence[str] = ()
) -> str | None:
    """The line that answers a message; None where it asks for none of them.

    It is of the kind that is asked for, or has all words of some meaning in the question; two lines
    tell who somebody is. What was
    `said` just now is not told again, but for who somebody is to whoever has not asked that in what
    was just `heard`.
    """
    asked = _question(question)
    if asked is None:
        return None
    news = _not_said(persona, said)
    if kind := next((kind for kind in IDENTITY if kind.is_asked(asked)), None):
        line = kind.line_of(persona)
        is_again = any(kind.is_asked(_question(message) or "") for message in heard)
        return None if is_again and line not in news else line
    if HOBBY.is_asked(asked):
        job = JOB.line_of(persona)
        return HOBBY.line_of([line for line in news if line != job])
    if DREAM.is_asked(asked):
        return DREAM.line_of(news)
    if _ANYTHING.search(asked):
        return _introduction(news, lines=2 if _INTRODUCES.search(asked) else 1)
    if _OF_THE_PERSON.search(asked):
        return None
    # A favorite color is one of all that has a color; other questions say little by such words.
    wanted = content(asked) - (set() if _FAVORITE.search(asked) else _ASPECTS | _VAGUE)
    return next((line for line in news if wanted and wanted <= content(line)), None)


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
    nearness: Callable[[Sequence[str], Sequence[str]], float],
) -> str | None:
    """The line whose words come nearest to those of a question, if they come near; not one that
    was `said` just now."""
    asked = _question(question, _ANY_QUESTION)
    if asked is None or _OF_THE_PERSON.search(asked):
        return None
    if any(kind.is_asked(asked) for kind in IDENTITY):
        return None  # lines that answer those are told by how they begin
    wanted = [word for word in content_words(asked) if word not in _VAGUE]
    if not wanted:
        return None
    near = {line: nearness(wanted, content_words(line)) for line in _not_said(persona, said)}
    nearest = max(near, key=near.__getitem__, default=None)
    needed = NEAR_FAVORITE if _FAVORITE.search(asked) else NEAR
    return nearest if nearest is not None and near[nearest] >= needed else None


def told_by_person(question: str, said: Sequence[str]) -> str | None:
    """What the person has told of themself and asks for: the last sentence of theirs that has all
    words of some meaning in the question. None where they ask for nothing that they `said`."""
    asked = _question(question)
    if asked is None or not _OF_THE_PERSON.search(asked):
        return None
    wanted = content(asked) - _ASPECTS
    sentences = [s.strip() for text in said for s in _SENTENCE.findall(text)]
    sentences = [sentence for sentence in sentences if len(sentence) <= REMEMBERED_CHARACTERS]
    if _NAMED.search(asked):
        return _named(wanted, sentences)
    told = [s for s in sentences if wanted and wanted <= content(s) and _ABOUT_SELF.match(s)]
    return told[-1] if told else None


def _named(wanted: set[str], sentences: Sequence[str]) -> str | None:
    """The last sentence that names what is wanted, or what was spoken of before it; the person
    themself where nothing is wanted."""
    found, is_known = None, False
    for sentence in sentences:
        if _names(sentence, wanted) or (is_known and _ITS_NAME.match(sentence)):
            found = sentence
        is_known = is_known or (bool(wanted) and wanted <= content(sentence))
    return found


def _names(sentence: str, wanted: set[str]) -> bool:
    if not wanted:
        return name_told(sentence) is not None
    says_so = _ABOUT_SELF.match(sentence) and _NAMED.search(sentence)
    return bool(says_so) and wanted <= content(sentence)


def _question(message: str, pattern: re.Pattern[str] = _QUESTION) -> str | None:
    """The question at the end of a message, in lower case."""
    found = pattern.search(_SHORT.sub(r"\1 is", closing(message).lower()))
    return found.group().replace("favourite", "favorite") if found else None


def _not_said(persona: Sequence[str], said: Sequence[str]) -> list[str]:
    return [line for line in persona if not was_said(line, said)]


def was_said(line: str, said: Sequence[str]) -> bool:
    """Whether one of these texts has the line word for word."""
    return any(line.lower().rstrip(".!") in text.lower() for text in said)
