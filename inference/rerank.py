"""Which of several replies to one message is the best.

With a second head its score decides, trained to tell the true reply from others (next-utterance
classification: Wolf et al. 2019, "TransferTransfo"); without one the mean log-likelihood of the
tokens. Words that a reply shares with the persona and the message are added. Taken off is what
bores or puzzles a reader: saying again what was just said, contradicting the persona, and a
sentence without an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from inference.persona.facts import facts_answered, facts_known
from inference.persona.words import content, words
from inference.prompt import Turn, straight, texts_of
from inference.repetition import RECENT_TURNS

# What a nat of mean log-likelihood counts beside the second head: some makes more answers true,
# much makes replies alike (figures in docs/training.md).
LIKELIHOOD = 0.5
# What a content word counts that a persona line or the message has too, and how many of each count.
RELEVANCE = 0.5
RELEVANT_WORDS = 2
# In nats of likelihood or logits of the head, which differ by one or two among good candidates.
WITHIN = 2.0
ACROSS = 3.0
CONTRADICTION = 3.0
CUT = 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reply, and what the model thinks of it: the mean log-likelihood of its tokens, and the
    second head's score where there is one. `is_cut`: the limit on its length ended it."""

    text: str
    likelihood: float
    choice: float | None = None
    is_cut: bool = False


class Judge:
    """Scores replies to the last of `turns` by the character whose lines are `persona`."""

    def __init__(self, persona: Sequence[str], turns: Sequence[Turn]) -> None:
        own = texts_of("bot", turns)[-RECENT_TURNS:]
        self._said = [_pairs(words(text)) for text in own]
        self._facts = facts_known(persona)
        self._question = straight(turns[-1].text) if turns else ""
        self._subjects = (content(" ".join(persona)), content(self._question))

    def score(self, candidate: Candidate) -> float:
        """Higher is better; comparable among candidates for the same turn only."""
        base = candidate.likelihood
        if candidate.choice is not None:
            base = candidate.choice + LIKELIHOOD * candidate.likelihood
        return base + self.relevance(candidate.text) - self.penalty(candidate)

    def relevance(self, text: str) -> float:
        """What is added: more for a reply that speaks of the character or of the message."""
        spoken = content(text)
        shared = (min(RELEVANT_WORDS, len(spoken & subject)) for subject in self._subjects)
        return RELEVANCE * sum(shared)

    def penalty(self, candidate: Candidate) -> float:
        """What is taken off: 0 for a reply with no fault that can be seen."""
        said = words(candidate.text)
        return (
            WITHIN * _repeated(said)
            + ACROSS * self._said_again(said)
            + CONTRADICTION * self._contradicts(candidate.text)
            + CUT * candidate.is_cut
        )

    def _said_again(self, spoken: list[str]) -> float:
        """The largest share of the reply's word pairs that one of the last turns has too."""
        pairs = _pairs(spoken)
        return (
            max((len(pairs & said) / len(pairs) for said in self._said), default=0) if pairs else 0
        )

    def _contradicts(self, text: str) -> bool:
        stated = facts_answered(self._question, text)
        return any(known.contradicts(fact) for fact in stated for known in self._facts)


def _pairs(spoken: list[str]) -> set[tuple[str, str]]:
    return set(pairwise(spoken))


def _repeated(spoken: list[str]) -> bool:
    """Whether three words in a row come twice."""
    triples = list(zip(spoken, spoken[1:], spoken[2:], strict=False))
    return len(set(triples)) < len(triples)
