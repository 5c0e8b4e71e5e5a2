"""What the person has told of themself, and what they ask of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from inference.capitals import names_in
from inference.persona.facts import true_answer
from inference.persona.kinds import AGE, CHILDHOOD, HOBBY, HOME, JOB, NUMBER, ORIGIN
from inference.persona.names import NAMED, name_told
from inference.persona.question import (
    ASPECTS,
    any_question_at_end,
    own_clauses,
    plain,
    question_at_end,
)
from inference.persona.words import content
from inference.prompt import Turn, texts_of

# So many turns of the person's, and so much of each, are looked through.
REMEMBERED_TURNS, REMEMBERED_LENGTH = 20, 1000
# Longer sentences are stories.
REMEMBERED_CHARACTERS = 100
_OF_THE_PERSON = re.compile(r"\b(?:my|i)\b")
_SENTENCE = re.compile(r"[^.!?\n]+")
_ASKS = re.compile(
    r"(?:what|where|when|who|which|how|why|do|does|did|am|is|are|was|can)\b", re.IGNORECASE
)
_ABOUT_SELF = re.compile(r"(?:\w+,? ){0,2}?(?:i|my|we|our)\b", re.IGNORECASE)
_ITS_NAME = re.compile(r"(?:his|her|its|their|the) names? (?:is|was|are|were)\b", re.IGNORECASE)
_ASKS_AGE = re.compile(r"\bhow old\b")
_AGE = re.compile(rf"\b(?:{NUMBER}|one|two|three|four|five|six|seven|eight|nine)\b", re.IGNORECASE)
_THEY = re.compile(
    r"(?:(?:and|but|well|yes),? )?(?:he|she|it|they|his|her|its|their)\b", re.IGNORECASE
)
# Speaks of somebody else from now on.
_INTRODUCES = re.compile(r"\b(?:my|our|have|has|got)\b", re.IGNORECASE)
# "I have two kids, Ben and Lucy", but not "I have two kids in Rome".
_BY_NAME = re.compile(r"(?<!\bin)(?<!\bfrom)(?<!\bat)(?<!\bto)(?<!\bnear) [^\W\d_a-z][^\W\d_A-Z]")
# Questions about oneself, as they would be put to somebody else.
_PUT_TO_OTHERS = (
    (re.compile(r"\bam i\b|\bi am\b"), "are you"),
    (re.compile(r"\bwas i\b"), "were you"),
    (re.compile(r"\bi\b"), "you"),
    (re.compile(r"\bmy\b"), "your"),
)

# What one asks to hear of each kind.
_QUESTIONS = (
    (JOB, ("what do you do?", "what is your job?", "what kind of work do you do?")),
    (HOME, ("where do you live?",)),
    (ORIGIN, ("where are you from?",)),
    (AGE, ("how old are you?",)),
)


def remembered(turns: Sequence[Turn]) -> list[str]:
    """What the person has said, as far back as it is looked through, in plain words."""
    heard = texts_of("person", turns)[-REMEMBERED_TURNS:]
    return [plain(text[-REMEMBERED_LENGTH:]) for text in heard]


def is_about_the_person(question: str) -> bool:
    """Whether a question, in lower case, is about whoever asks it."""
    return _OF_THE_PERSON.search(question) is not None


def questions_answered(said: Sequence[str]) -> list[str]:
    """Questions to the person that what they `said` answers, whether or not they were asked."""
    clauses = [clause for text in said for clause in own_clauses(text)]
    return [ask for kind, asks in _QUESTIONS if kind.told_in(clauses) for ask in asks]


def told_by_person(question: str, said: Sequence[str]) -> str | None:
    """What answers a question about the person, or about somebody whom they have named, of what
    they `said`: the last sentence that has all words of some meaning in it, or is of the kind that
    is asked for. None where there is none."""
    asked = question_at_end(question)
    sentences = _sentences(said)
    if told := _stated(any_question_at_end(question) or "", sentences):
        return told
    if asked is None:
        return None
    wanted = content(asked) - ASPECTS
    is_about_them = is_about_the_person(asked)
    if not is_about_them and wanted.isdisjoint(names_in(said)):
        return None
    if told := _of_kind(asked, said):
        return told
    if NAMED.search(asked):
        return _told_of(wanted, sentences, _names)
    if _ASKS_AGE.search(asked):
        return _told_of(wanted, sentences, _tells_age)
    told_all = [s for s in sentences if wanted and wanted <= content(s) and _ABOUT_SELF.match(s)]
    return told_all[-1] if told_all and is_about_them else None


def _sentences(said: Sequence[str]) -> list[str]:
    """What they said, without their questions and without stories."""
    found = [s.strip() for text in said for s in _SENTENCE.findall(text)]
    return [s for s in found if len(s) <= REMEMBERED_CHARACTERS and not _ASKS.match(s)]


def _stated(asked: str, sentences: Sequence[str]) -> str | None:
    """The last sentence from which it follows whether something is so of the person, or which one
    they have: "what pet do I have?", "am I married?"."""
    if not is_about_the_person(asked):
        return None
    answer = true_answer(_put_to_others(asked), sentences[::-1])
    return answer[1] or None if answer else None


def _put_to_others(asked: str) -> str:
    for pattern, words in _PUT_TO_OTHERS:
        asked = pattern.sub(words, asked)
    return asked


def _of_kind(asked: str, said: Sequence[str]) -> str | None:
    """How old they are, where they live and what they do, where that is asked for."""
    asked = _put_to_others(asked)
    for kind in (AGE, HOME, ORIGIN, CHILDHOOD, JOB, HOBBY):
        if kind.is_asked(asked):
            newest_first = [clause for text in reversed(said) for clause in own_clauses(text)]
            return kind.told_in(newest_first)
    return None


def _told_of(
    wanted: set[str], sentences: Sequence[str], tells: Callable[[str, set[str]], bool]
) -> str | None:
    """The last sentence that `tells` what is asked of what is wanted: one that speaks of it, or of
    "him" while nobody else was spoken of."""
    found, is_meant = None, False
    for sentence in sentences:
        is_of_it, goes_on = wanted <= content(sentence), _THEY.match(sentence) is not None
        if (is_of_it or (is_meant and goes_on)) and tells(sentence, wanted):
            found = sentence
        if wanted and (is_of_it or (_INTRODUCES.search(sentence) and not goes_on)):
            is_meant = is_of_it
    return found


def _names(sentence: str, wanted: set[str]) -> bool:
    """Whether it says what something is called; the person themself where nothing is wanted."""
    if not wanted:
        return name_told(sentence) is not None
    if _ITS_NAME.match(sentence):
        return True
    says_so = NAMED.search(sentence) or _BY_NAME.search(sentence)
    return bool(_ABOUT_SELF.match(sentence) and says_so)


def _tells_age(sentence: str, wanted: set[str]) -> bool:
    return bool(wanted) and _AGE.search(sentence) is not None
