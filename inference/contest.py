"""Several replies to one request: what is noted of each, and which of them is given to its caller.

Pure policy like the scheduler; how good a reply is says `rerank.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.detokenizer import Detokenizer
from inference.rerank import Candidate, Judge
from inference.vocabulary import Piece


@dataclass(slots=True)
class Standing:
    """One reply's part in a contest: what the model thinks of it.

    `nats` is the sum of the log-likelihoods of its `draws` tokens, the one that ended it included.
    Once it is `whole`, the token that ends it is run as well, for the second head's score `choice`.
    """

    contest: Contest
    nats: float = 0.0
    draws: int = 0
    choice: float | None = None
    whole: bool = False
    at_limit: bool = False

    def note(self, nats: float, choice: float | None) -> None:
        """A step: how likely its token was, and the second head's score of what came before."""
        if self.whole:
            self.choice = choice
        else:
            self.nats += nats
            self.draws += 1


class Contest:
    """`entrants` replies to one request. `winner` holds the tokens of the best so far."""

    def __init__(self, judge: Judge, pieces: Sequence[Piece], entrants: int) -> None:
        self.left = entrants
        self.tokens = 0
        self.winner: Sequence[int] = ()
        self.at_limit = False
        self._judge = judge
        self._pieces = pieces
        self._best: tuple[float, int] | None = None

    def enter(self, number: int, tokens: Sequence[int], standing: Standing) -> bool:
        """A reply is written; True if it is the best so far. Of equals the one with the lower
        number wins, whichever is written first."""
        self.left -= 1
        self.tokens += len(tokens)
        candidate = Candidate(
            text=self._text(tokens),
            likelihood=standing.nats / max(1, standing.draws),
            choice=standing.choice,
            is_cut=standing.at_limit,
        )
        rank = (self._judge.score(candidate), -number)
        if self._best is not None and rank <= self._best:
            return False
        self._best, self.winner, self.at_limit = rank, tokens, standing.at_limit
        return True

    def _text(self, tokens: Sequence[int]) -> str:
        detokenizer = Detokenizer(self._pieces)
        return "".join([detokenizer.add(token) for token in tokens])
