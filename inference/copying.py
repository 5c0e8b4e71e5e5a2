"""Lets a reply go on as its prompt does, where it has begun to say the same.

What a small model learns last is to copy: it finds the first token of a name in the persona and
then loses its way ("Edinburgh" becomes "Edinbaugh"), or begins "I make" with the persona's
"I make chocolates" before it and goes on with something else. So where a reply has begun to say
what its prompt says, the next token is, most of the time, taken from the prompt. A copy mechanism,
as in CopyNet (Gu et al. 2016) and pointer-generator networks (See et al. 2017), but one that is not
learnt: whether to copy follows from what stands there alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inference.bundle import SpecialTokens
from inference.vocabulary import Part, Vocabulary

Context = tuple[int, ...]

# Whoever has said so many tokens of a line is telling it: half of it would be untrue.
_TOLD_FROM = 5

# A full stop after one of these ends no sentence.
_ABBREVIATIONS = frozenset(["mr", "mrs", "ms", "dr", "st"])


class Copies(NamedTuple):
    """With a probability of `share` one of these is the next token, each alike. `if_inner`: only if
    the model, too, goes on with the word that was begun ("car" may be all of it)."""

    tokens: Sequence[int]
    share: float
    if_inner: bool = False


NO_COPIES = Copies((), 0.0)


class Copying:
    """Which tokens of a prompt go on with what a reply has said so far.

    A sentence or clause that has begun as a line of the persona does, with two tokens or more of
    which one is content, goes on as the line does, with a probability of `share`; from five tokens
    on otherwise a twentieth as often. A word that the reply has begun goes on as the persona or the
    person has it, and a quarter as often otherwise. What the character itself has said does not
    count: it may have been misspelt. `begins` is what the reply had better begin with: a twentieth
    as often not, and what is begun is said to its end.
    """

    def __init__(
        self,
        prompt: Iterable[int],
        vocabulary: Vocabulary,
        special: SpecialTokens,
        share: float,
        begins: Sequence[int] = (),
    ) -> None:
        self._ends, self._parts, self._joints = vocabulary.ends, vocabulary.parts, vocabulary.joints
        self._pieces = vocabulary.pieces
        self._share = share
        # Half a word is none, and half an answer an untrue one.
        self._surely, self._certainly = 1 - (1 - share) / 4, 1 - (1 - share) / 20
        self._begins = begins
        self._of_words: dict[Context, list[int]] = {}
        self._of_lines: dict[Context, list[int]] = {}
        self._beginnings: set[Context] = set()
        self._word: Context = ()
        self._clause: Context = ()
        self._learn(prompt, vocabulary, special)
        self._begin()

    @property
    def first(self) -> Copies:
        """What the reply may begin with."""
        return Copies(self._begins[:1], self._certainly)

    def add(self, token: int) -> Copies:
        """Take in the next token of the reply, and return what may be copied after it."""
        self._advance(token)
        if token in self._joints and self._clause not in self._beginnings:
            self._clause = ()
        goes_along = bool(self._begins) and self._begins[0] == token
        self._begins = self._begins[1:] if goes_along else ()
        if self._begins:
            return Copies(self._begins[:1], 1.0)
        words = self._of_words.get(self._word)
        if tokens := self._of_lines.get(self._clause):
            return Copies(tokens, self._share_of_line(is_word=words is not None))
        return Copies(words, self._surely, len(self._word) == 1) if words else NO_COPIES

    def _share_of_line(self, *, is_word: bool) -> float:
        """How often a line goes on that a sentence has begun as; `is_word` within a word."""
        if len(self._clause) >= _TOLD_FROM:
            return self._certainly
        return self._surely if is_word else self._share

    def _learn(self, prompt: Iterable[int], vocabulary: Vocabulary, special: SpecialTokens) -> None:
        speaker = special.end
        for token in prompt:
            if not vocabulary.pieces[token]:
                speaker = token
                self._begin()
                continue
            clause, word = self._clause, self._word
            self._advance(token)
            if speaker != special.bot and len(self._word) > 1:
                self._of_words.setdefault(word, []).append(token)
            if speaker == special.persona:
                self._beginnings.add(self._clause)
                if len(clause) > 1 and not vocabulary.spared.issuperset(clause):
                    self._of_lines.setdefault(clause, []).append(token)

    def _begin(self) -> None:
        self._word = self._clause = ()

    def _advance(self, token: int) -> None:
        """`_word` becomes the tokens of the word that ends with this one, `_clause` those of the
        sentence so far; empty where there are none."""
        is_end = bool(self._ends[token]) and not self._abbreviates(token)
        part = self._parts[token]
        if part != Part.MORE:
            self._word = (token,) if part else ()
        elif self._word:
            self._word += (token,)
        self._clause = () if is_end else (*self._clause, token)

    def _abbreviates(self, token: int) -> bool:
        """Whether it is the full stop of the word before it."""
        if self._pieces[token] != ".":
            return False
        word = "".join(piece for part in self._word if isinstance(piece := self._pieces[part], str))
        return word.strip().lower() in _ABBREVIATIONS
