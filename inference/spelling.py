"""Helps a small model to spell the words that it was given.

Names and rare words are several tokens. A small model finds the first of them in the persona and
then loses its way ("Edinburgh" becomes "Edinbaugh"). Where a reply has begun a word of the prompt,
the token that goes on with it is made likelier; the idea is that of the biasing of speech
recognition towards a list of names (Zhao et al. 2019, "Shallow-Fusion End-to-End Contextual
Biasing").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inference.detokenizer import Piece


class Spelling:
    """Which tokens go on with the words of a prompt, as a reply is written.

    `pieces` are those of all tokens. What the character itself has said, between its mark `bot`
    and the next special token, does not count: it may have been misspelt.
    """

    def __init__(self, prompt: Iterable[int], pieces: list[Piece], bot: int) -> None:
        self._pieces = pieces
        self._next: dict[tuple[int, ...], list[int]] = {}
        self._word: tuple[int, ...] = ()
        self._learn(prompt, bot)
        self._word = ()

    def add(self, token: int) -> Sequence[int]:
        """Take in the next token of the reply, and return what may go on with its last word."""
        self._advance(token)
        return self._next.get(self._word, ())

    def _learn(self, prompt: Iterable[int], bot: int) -> None:
        is_own = False
        for token in prompt:
            if not self._pieces[token]:
                is_own = token == bot
            before = self._word
            self._advance(token)
            if len(self._word) > 1 and not is_own:
                self._next.setdefault(before, []).append(token)

    def _advance(self, token: int) -> None:
        """`_word` becomes the tokens of the word that ends with this one; empty where none does."""
        piece = self._pieces[token]
        if not isinstance(piece, str) or not piece.strip().isalpha():
            self._word = ()
        elif piece[0] == " ":
            self._word = (token,)
        elif self._word:
            self._word += (token,)
