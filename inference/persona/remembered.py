"""What the person has told of themself, and what they ask of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.persona.kinds import AGE, CHILDHOOD, HOBBY, HOME, JOB, ORIGIN
from inference.persona.names import name_told
from inference.persona.question import ASPECTS, own_clauses, plain, question_at_end
from inference.persona.words import content
from inference.prompt import Turn, texts_of

# So many turns of the person's, and so much of each, are looked through.
REMEMBERED_TURNS, REMEMBERED_LENGTH = 20, 1000
# Longer sentences are stories.
REMEMBERED_CHARACTERS = 100
_OF_THE_PERSON = re.compile(r"\b(?:my|i)\b")
_SENTENCE = re.compile(r"[^.!?\n]+")
_ABOUT_SELF = re.compile(r"(?:\w+,? ){0,2}?(?:i|my|we|our)\b", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:name|named|called)\b", re.IGNORECASE)
_ITS_NAME = re.compile(r"(?:his|her|its|their|the) names? (?:is|was|are|were)\b", re.IGNORECASE)
# Questions about oneself, as they would be put to somebody else.
_PUT_TO_OTHERS = (
    (re.compile(r"\bam i\b|\bi am\b"), "are you"),
    (re.compile(r"\bwas i\b"), "were you"),
    (re.compile(r"\bi\b"), "you"),
    (re.compile(r"\bmy\b"), "your"),
)


def remembered(turns: Sequence[Turn]) -> list[str]:
    """What the person has said, as far back as it is looked through, in plain words."""
    heard = texts_of("person", turns)[-REMEMBERED_TURNS:]
    return [plain(text[-REMEMBERED_LENGTH:]) for text in heard]


def is_about_the_person(question: str) -> bool:
    """Whether a question, in lower case, is about whoever asks it."""
    return _OF_THE_PERSON.search(question) is not None


def told_by_person(question: str, said: Sequence[str]) -> str | None:
    """What answers a question about the person of what they `said`: the last sentence that has all
    words of some meaning in it, or is of the kind that is asked for. None where there is none."""
    asked = question_at_end(question)
    if asked is None or not is_about_the_person(asked):
        return None
    if told := _of_kind(asked, said):
        return told
    wanted = content(asked) - ASPECTS
    sentences = [s.strip() for text in said for s in _SENTENCE.findall(text)]
    sentences = [sentence for sentence in sentences if len(sentence) <= REMEMBERED_CHARACTERS]
    if _NAMED.search(asked):
        return _named(wanted, sentences)
    told_all = [s for s in sentences if wanted and wanted <= content(s) and _ABOUT_SELF.match(s)]
    return told_all[-1] if told_all else None


def _of_kind(asked: str, said: Sequence[str]) -> str | None:
    """How old they are, where they live and what they do, where that is asked for."""
    for pattern, words in _PUT_TO_OTHERS:
        asked = pattern.sub(words, asked)
    for kind in (AGE, HOME, ORIGIN, CHILDHOOD, JOB, HOBBY):
        if kind.is_asked(asked):
            newest_first = [clause for text in reversed(said) for clause in own_clauses(text)]
            return kind.told_in(newest_first)
    return None


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
