"""What a small model should not say again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inference.vocabulary import Vocabulary

# Of so many of the character's own last turns the penalty counts the words.
RECENT_TURNS = 3
# So many tokens before it make a token the same statement again.
CONTEXT = 3
# So many questions may begin alike.
_ALIKE = 2


class Echo:
    """Which token would be the same statement or question again.

    Like the blocking of repeated n-grams (Paulus et al. 2017), but of content after the same
    tokens only: "do you like …" can be said again, "I am a vegetarian" cannot. A question is the
    same when it begins with the same words. `said` are the character's turns, each with its `mark`;
    `answered` are questions that it need not ask any more.
    """

    def __init__(
        self,
        said: Sequence[Sequence[int]],
        mark: int,
        vocabulary: Vocabulary,
        answered: Iterable[Sequence[int]] = (),
    ) -> None:
        self._spared = vocabulary.spared
        self._questions = Questions(vocabulary)
        self._base = len(vocabulary)
        # The last CONTEXT tokens are the digits of one number.
        self._limit = self._base ** (CONTEXT - 1)
        self._after: dict[int, list[int]] = {}
        self._context = mark
        for turn in said:
            for token in turn[1:]:
                self.add(token)
            self._context = mark
            self._questions.begin()
        for question in answered:
            for token in question:
                self._questions.add(token)

    def add(self, token: int) -> Sequence[int]:
        """Take in the next token of the turn, and return what must not follow it."""
        context = self._context
        if token not in self._spared and context >= self._limit:
            self._after.setdefault(context, []).append(token)
        self._context = context = context % self._limit * self._base + token
        return [*self._after.get(context, ()), *self._questions.add(token)]


class Questions:
    """Which token would begin a question that was asked before: the fourth after the same three,
    or the last of a shorter one. After two questions with the same three it is the second already:
    "what do you do" and "what do you like" leave little to go on with but "what do you drive"."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ends = vocabulary.ends
        self._asked: dict[tuple[int, ...], list[int]] = {}
        self._opening: tuple[int, ...] = ()  # of the sentence, as far as it counts

    def begin(self) -> None:
        """A turn begins, whether or not the one before ended in a mark."""
        self._opening = ()

    def add(self, token: int) -> Sequence[int]:
        """Take in the next token that the character says, and return what must not follow it."""
        end = self._ends[token]
        if not end:
            if len(self._opening) > CONTEXT:
                return ()
            self._opening += (token,)
            return self._asked.get(self._opening, ())
        if end == "?" and len(self._opening) >= CONTEXT:
            *same, last = self._opening
            asked = self._asked.setdefault(tuple(same), [])
            asked.append(last)
            if len(asked) == _ALIKE:
                first, second, *_ = same
                self._asked.setdefault((first,), []).append(second)
        self._opening = ()
        return ()


def recent_words(said: Sequence[Sequence[int]]) -> list[int]:
    """The tokens of the character's last turns, for the repetition penalty."""
    return [token for turn in said[-RECENT_TURNS:] for token in turn]
