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
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import takewhile

from inference.persona.asking_back import question_behind
from inference.persona.facts import asked_fact, asks_which, true_answer
from inference.persona.follow_up import asks_what_was_said, asks_why, doubts_a_line, leave_taken
from inference.persona.kinds import NAME
from inference.persona.names import NAMED, asks_for_own_name, name_told, own_name, with_capital
from inference.persona.others import is_about_others, name_of_other
from inference.persona.propositions import is_proposition
from inference.persona.question import any_question_at_end, closing, questions_in
from inference.persona.remembered import remembered, told_by_person
from inference.persona.retrieval import Nearness, line_asked_for, nearest_line, was_said
from inference.persona.statements import ENDS
from inference.persona.tact import KINDS, out_of_place
from inference.persona.words import turned
from inference.prompt import PromptRenderer, Turn, texts_of
from inference.repetition import RECENT_TURNS
from inference.vocabulary import Vocabulary

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
_DECLINES = "No, let us talk about something else."
_REASON = "Because"
_NAME_UNTOLD = "You have not told me your name."
_PLEASURE = "Nice to meet you"
_MARKS = (".", "!", "?")
_GREETING = re.compile(r"^(?:(?:hi|hello|hey|yo|oh|well|ok|okay)\b[, ]*)+", re.IGNORECASE)
# A small model may go on otherwise: "No, I have a dog." What is longer is not said again.
_SAID_AGAIN = 5
_CHOICE = re.compile(r"\b(?:are|do|did|is|would|which|what)\b.* or \w", re.IGNORECASE)
_OPEN = re.compile(
    r"^\W*(?:(?:and|so|but|ok|oh|well)\b\W*)*(?:what|where|when|who|which|how|why)\b", re.IGNORECASE
)
_YES, _NO = frozenset(["yes", "yeah", "yep", "yup"]), frozenset(["no", "nope", "nah"])
_AFFIRMING, _DENYING = _YES | {"sure"}, _NO | {"not", "never", "none", "'t", "n't"}
_SPEAKING_OF_SELF = frozenset(["i", "i'm", "my", "me", "we", "our"])


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens that a reply begins with, and those that its first sentence does without."""

    begins: Sequence[int]
    unsaid: Sequence[int]


NO_ANSWER = Answer((), ())


class Answers:
    """Answers in the tokens of one model, which may know how near words are in meaning."""

    def __init__(
        self,
        renderer: PromptRenderer,
        vocabulary: Vocabulary,
        nearness: Nearness | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._encode = renderer.encode
        self._names = names or {}
        self._nearness = nearness
        self._denying = _tokens(vocabulary, _DENYING)
        self._affirming = _tokens(vocabulary, _AFFIRMING)
        self._yes, self._no = _tokens(vocabulary, _YES), _tokens(vocabulary, _NO)
        self._of_self = _tokens(vocabulary, _SPEAKING_OF_SELF)
        self._of_names, self._spared = _tokens(vocabulary, {"name", "names"}), vocabulary.spared
        self._of_kind = {words: _tokens(vocabulary, words) for words in KINDS}

    def to(self, turns: Sequence[Turn], persona: Sequence[str], room: int) -> Answer | None:
        """The answer to the last turn; None where the persona does not have it, or it takes more
        than `room` tokens."""
        read = [self._read(turn) for turn in turns]
        texts, unsaid = self._answer(read, persona) if read else ([], ())
        begins = self._encode(_joined(texts)) if texts else ()
        while len(begins) > room and len(texts) > 1:
            begins = self._encode(_joined(texts := texts[:-1]))
        if len(begins) > room or not (begins or unsaid):
            return None
        return Answer(begins, [token for token in unsaid if token not in begins])

    def _read(self, turn: Turn) -> Turn:
        if turn.speaker == "bot":
            return turn
        return replace(turn, text=with_capital(turn.text, self._names))

    def _answer(
        self, turns: Sequence[Turn], persona: Sequence[str]
    ) -> tuple[list[str], Sequence[int]]:
        """The texts that a reply begins with, and what its first sentence does without."""
        message = closing(turns[-1].text)
        back = question_behind(turns)
        questions = [back] if back else questions_in(turns[-1].text, own_name(persona))
        said = texts_of("bot", turns)[-RECENT_TURNS:]
        if _ASKS_WHAT_IT_IS.search(questions[-1]):
            return [_WHAT_IT_IS], ()
        if is_proposition(message):
            return [_DECLINES], ()
        if said and (followed := self._to_follow_up(questions[-1], persona, said)):
            return followed
        heard = remembered(turns[:-1])
        answers = [self._answer_to(asked, persona, said, heard) for asked in questions]
        unsaid = next((unsaid for text, unsaid in answers if text), answers[-1][1])
        texts = list(dict.fromkeys(text for text, _ in answers if text))
        if texts and unsaid:
            return texts, unsaid
        greeting = _greeting(message, texts_of("bot", turns))
        return [greeting, *texts] if greeting else texts, unsaid

    def _to_follow_up(
        self, message: str, persona: Sequence[str], said: Sequence[str]
    ) -> tuple[list[str], Sequence[int]] | None:
        """What is said to a message that only goes back to what was just said, or takes leave."""
        if asks_why(message):
            return [_REASON], ()
        if leave := leave_taken(message):
            return [f"{leave.capitalize()}!"], ()
        if doubts_a_line(message, persona, said):
            return ["Yes"], self._denying
        return ([said[-1]], ()) if asks_what_was_said(message) else None

    def _answer_to(
        self, asked: str, persona: Sequence[str], said: Sequence[str], heard: Sequence[str]
    ) -> tuple[str, Sequence[int]]:
        """What answers one question, and what the sentence does without."""
        if is_about_others(asked):
            return name_of_other(asked, persona, said), self._of_self
        if answer := true_answer(asked, persona):
            return _yes_or_no(asked, *answer, said), self._denying if answer[0] else self._affirming
        text = self._told(asked, persona, said, heard)
        return text, () if text else self._no_answer_to(asked)

    def _no_answer_to(self, question: str) -> Sequence[int]:
        """Yes to "what?", and either to "this or that?"."""
        if _CHOICE.search(question):
            return [*self._yes, *self._no]
        return self._yes if _OPEN.search(question) else ()

    def avoided(self, turns: Sequence[Turn], persona: Sequence[str]) -> Sequence[int]:
        """What no reply to the last turn should say."""
        words = out_of_place(turns, persona)
        avoided = [token for kind in words for token in self._of_kind[kind]]
        return [*avoided, *self._name_unasked(turns, persona)]

    def _name_unasked(self, turns: Sequence[Turn], persona: Sequence[str]) -> Sequence[int]:
        """What the character is called, where something else is asked for: a small model names
        itself for whoever it does not know."""
        name, asked = own_name(persona), any_question_at_end(turns[-1].text) if turns else None
        if not (name and asked) or NAMED.search(asked) or NAME.is_asked(asked):
            return ()
        if question_behind(turns) or "yourself" in asked:
            return ()
        first = self._encode(name)[0]
        return [*self._of_names, *(() if first in self._spared else (first,))]

    def _told(
        self, message: str, persona: Sequence[str], said: Sequence[str], heard: Sequence[str]
    ) -> str:
        """What the person has told, or the line of the persona; empty where neither answers."""
        if told := told_by_person(message, heard):
            return _to_person(told)
        if asks_for_own_name(message):
            return _NAME_UNTOLD
        line = line_asked_for(message, persona, said)
        if line is None and self._nearness:
            line = nearest_line(message, persona, said, self._nearness)
        return line or ""


def _joined(texts: Sequence[str]) -> str:
    """As sentences, of which the last may be left open."""
    *others, last = texts
    return " ".join([*(text if text.endswith(_MARKS) else f"{text}." for text in others), last])


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


def _yes_or_no(asked: str, yes: bool, line: str, said: Sequence[str]) -> str:
    """The word, and the line that it follows from: "Yes, I have two dogs." Where there is no line,
    what is affirmed or denied."""
    if asks_which(asked):
        return line if yes else f"None. {line}".strip()
    word = "Yes" if yes else "No"
    if line and not was_said(line, said):
        return f"{word}, {line}" if line.startswith(("I ", "I'")) else f"{word}. {line}"
    in_full = "" if line else f"{word}, {_in_full(asked_fact(asked) or '', yes)}"
    return in_full if in_full and not was_said(in_full, said) else word


def _in_full(fact: str, holds: bool) -> str:
    """ "I do not have any pets" of "have any pets"; "I am single" of "am single"."""
    verb, *rest = takewhile(lambda word: word not in ENDS, fact.removeprefix("do ").split())
    if verb == "am":
        says = ["I am" if holds else "I am not"]
    else:
        says = ["I", verb] if holds else ["I do not", verb]
    return " ".join([*says, *rest] if len(rest) <= _SAID_AGAIN else says[:1])


def _tokens(vocabulary: Vocabulary, words: Set[str]) -> Sequence[int]:
    return [
        token
        for token, piece in enumerate(vocabulary.pieces)
        if isinstance(piece, str) and piece.strip().lower() in words
    ]
