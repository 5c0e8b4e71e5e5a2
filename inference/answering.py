"""Keeps answers true to the persona.

A small model that is asked "do you have kids?" says "no" because most people in its data do, and
goes on to make that true; asked what it does for a living it says what many people do. Where the
persona has the answer, the reply begins with it, most of the time: with yes or no and the line that
says so, with the line that is asked for, or with what the person has told of themself and asks for;
and the first sentence after a yes does without "not". Constraints on decoding; what the persona
leaves open they leave to the model. Who asks whether they talk with a machine is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.asking_back import question_behind
from inference.facts import true_answer
from inference.names import name_told
from inference.prompt import PromptRenderer, Turn, straight, texts_of
from inference.repetition import RECENT_TURNS
from inference.retrieval import line_asked_for, nearest_line, told_by_person, was_said
from inference.tact import KINDS, out_of_place
from inference.vocabulary import Vocabulary
from inference.words import closing, turned

if TYPE_CHECKING:
    from inference.meanings import Meanings

# So many turns of the person's, and so much of each, are looked through for what they have told.
REMEMBERED_TURNS, REMEMBERED_LENGTH = 20, 1000
_WHAT_IT_IS = "I am a computer program that plays a character."
_KIND = (
    r"(?:(?:real|actual|human|living) )?"
    r"(?:person|human(?: being)?|robot|bot|chat ?bot|machine|computer|program|ai|real)"
)
_ASKS_WHAT_IT_IS = re.compile(
    rf"\b(?:are you|am i (?:talking|speaking|chatting|texting) (?:to|with)|is this) "
    rf"(?:really |actually |just )?(?:an? )?{_KIND}(?: or (?:an? )?{_KIND})?\W*$",
    re.IGNORECASE,
)
_PLEASURE = "Nice to meet you"
_GREETING = re.compile(r"^(?:(?:hi|hello|hey|yo|oh|well|ok|okay)\b[, ]*)+", re.IGNORECASE)
_YES, _NO = "yes", "no"
# A small model may go on otherwise: "No, I have a dog."
_NOT_SO = ", I do not"
_ASKS_WHAT_ONE_IS = re.compile(r"\bare you\b", re.IGNORECASE)
_AFFIRMING = frozenset([_YES, "yeah", "yep", "yup", "sure"])
_DENYING = frozenset([_NO, "not", "nope", "nah", "never", "none", "'t", "n't"])


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens that a reply begins with, and those that its first sentence does without."""

    begins: Sequence[int]
    unsaid: Sequence[int]


NO_ANSWER = Answer((), ())


class Answers:
    """Answers in the tokens of one model."""

    def __init__(
        self, renderer: PromptRenderer, vocabulary: Vocabulary, meanings: Meanings | None = None
    ) -> None:
        self._encode = renderer.encode
        self._meanings = meanings
        self._denying = _tokens(vocabulary, _DENYING)
        self._affirming = _tokens(vocabulary, _AFFIRMING)
        self._of_kind = {words: _tokens(vocabulary, words) for words in KINDS}

    def to(self, turns: Sequence[Turn], persona: Sequence[str], room: int) -> Answer | None:
        """The answer to the last turn; None where the persona does not have it, or it takes more
        than `room` tokens."""
        message = closing(turns[-1].text) if turns else ""
        said = texts_of("bot", turns)[-RECENT_TURNS:]
        asked = question_behind(turns) or message
        unsaid: Sequence[int] = ()
        if _ASKS_WHAT_IT_IS.search(message):
            text = _WHAT_IT_IS
        elif answer := true_answer(asked, persona):
            yes, line = answer
            text = _yes_or_no(_YES if yes else _NO, "" if was_said(line, said) else line)
            plain = not line and not _ASKS_WHAT_ONE_IS.search(asked)
            if plain and not was_said(f"{text}{_NOT_SO}", said):
                text += _NOT_SO
            unsaid = self._denying if yes else self._affirming
        else:
            text = self._told(asked, persona, said, remembered(turns[:-1]))
            text = f"{_greeting(message, texts_of('bot', turns))} {text}".strip()
        begins = self._encode(text) if text else ()
        if not 0 < len(begins) <= room:
            return None
        return Answer(begins, [token for token in unsaid if token not in begins])

    def avoided(self, turns: Sequence[Turn]) -> Sequence[int]:
        """What no reply to the last turn should say."""
        return [token for words in out_of_place(turns) for token in self._of_kind[words]]

    def _told(
        self, message: str, persona: Sequence[str], said: Sequence[str], heard: Sequence[str]
    ) -> str:
        """What the person has told, or the line of the persona; empty where neither answers."""
        if told := told_by_person(message, heard):
            return _to_person(told)
        line = line_asked_for(message, persona, said, heard[-RECENT_TURNS:])
        if line is None and self._meanings:
            line = nearest_line(message, persona, said, self._meanings.nearness)
        return line or ""


def remembered(turns: Sequence[Turn]) -> list[str]:
    """What the person has said, as far back as it is looked through, with plain quotes."""
    heard = texts_of("person", turns)[-REMEMBERED_TURNS:]
    return [straight(text[-REMEMBERED_LENGTH:]) for text in heard]


def _greeting(message: str, said: Sequence[str]) -> str:
    """What is said first to whoever has just told their name; empty where they have not, or were
    greeted by it."""
    name = name_told(message)
    if name is None or was_said(f", {name}!", said):
        return ""
    return f"{'Hello' if was_said(_PLEASURE, said) else _PLEASURE}, {name}!"


def _to_person(told: str) -> str:
    """What they have told, said to them."""
    text = turned(_GREETING.sub("", told))
    return f"{text[0].upper()}{text[1:]}."


def _yes_or_no(word: str, line: str) -> str:
    """The word, and the line that it follows from: "Yes, I have two dogs." """
    said = word.capitalize()
    if not line:
        return said
    return f"{said}, {line}" if line.startswith(("I ", "I'")) else f"{said}. {line}"


def _tokens(vocabulary: Vocabulary, words: frozenset[str]) -> Sequence[int]:
    return [
        token
        for token, piece in enumerate(vocabulary.pieces)
        if isinstance(piece, str) and piece.strip().lower() in words
    ]
