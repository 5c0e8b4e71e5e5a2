"""Keeps answers true to the persona.

A small model that is asked "do you have kids?" says "no" because most people in its data do, and
goes on to make that true; asked what it does for a living it says what many people do. Where the
persona has the answer, the reply begins with it, most of the time: with yes or no, whose opposite
its first sentence does not say, or with the line that is asked for. Constraints on decoding; what
the persona leaves open they leave to the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.facts import true_answer
from inference.prompt import PromptRenderer, Turn
from inference.repetition import RECENT_TURNS
from inference.retrieval import line_asked_for
from inference.vocabulary import Vocabulary

# A question is at the end of a message, and no longer.
QUESTION_CHARACTERS = 200
_YES, _NO = "yes", "no"
_AFFIRMING = frozenset([_YES, "yeah", "yep", "yup", "sure"])
_DENYING = frozenset([_NO, "not", "nope", "nah", "never", "none", "'t", "n't"])


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens that a reply begins with, and those that its first sentence does without."""

    begins: Sequence[int]
    unsaid: Sequence[int] = ()


class Answers:
    """Answers in the tokens of one model."""

    def __init__(self, renderer: PromptRenderer, vocabulary: Vocabulary) -> None:
        self._renderer = renderer
        self._yes_or_no = {
            True: Answer(_one_token(renderer, _YES), _tokens(vocabulary, _DENYING)),
            False: Answer(_one_token(renderer, _NO), _tokens(vocabulary, _AFFIRMING)),
        }

    def to(self, turns: Sequence[Turn], persona: Sequence[str]) -> Answer | None:
        """The answer to the last turn; None where the persona does not have it."""
        message = turns[-1].text[-QUESTION_CHARACTERS:] if turns else ""
        if (yes := true_answer(message, persona)) is not None:
            return self._yes_or_no[yes]
        said = [turn.text for turn in turns if turn.speaker == "bot"][-RECENT_TURNS:]
        if line := line_asked_for(message, persona, said):
            return Answer(self._renderer.encode(line))
        return None


def _one_token(renderer: PromptRenderer, word: str) -> Sequence[int]:
    """The word as a reply begins with it; nothing where it is several tokens."""
    ids = renderer.encode(word.capitalize())
    return ids if len(ids) == 1 else ()


def _tokens(vocabulary: Vocabulary, words: frozenset[str]) -> Sequence[int]:
    return [
        token
        for token, piece in enumerate(vocabulary.pieces)
        if isinstance(piece, str) and piece.strip().lower() in words
    ]
