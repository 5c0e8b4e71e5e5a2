"""What a small model should not say again."""

from __future__ import annotations

from collections.abc import Sequence

from inference.detokenizer import Piece, sentence_end

# Without these there is no sentence. Penalised like the rest, they make a small model's replies
# short and crooked; what bores a reader is content said twice.
_FUNCTION_WORDS = """
    a about all also am an and any are as at be because been but by can could did do does don for
    from get go got had has have he her his how i if in is it its just like me more my no not of on
    or our out really s she should so some t than that the their them then there they this to too
    up very was we well were what when where who why will with would yes you your m re ve ll d n't
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
# Of so many of the character's own last turns the penalty counts the words.
RECENT_TURNS = 3
# So many tokens before it make a token the same statement again.
CONTEXT = 3


def spared_tokens(pieces: list[Piece]) -> list[int]:
    """Ids of function words, punctuation and parts of characters; the rest is content."""
    return [token for token, piece in enumerate(pieces) if not _is_content(piece)]


def _is_content(piece: Piece) -> bool:
    if isinstance(piece, bytes):
        return False
    word = piece.strip().lstrip("'").lower()
    return word not in FUNCTION_WORDS and any(letter.isalpha() for letter in word)


class Echo:
    """Which token would be the same statement or question again.

    Like the blocking of repeated n-grams (Paulus et al. 2017), but of content after the same
    tokens only: "do you like …" can be said again, "I am a vegetarian" cannot. A question is the
    same when it begins with the same words. `said` are the character's turns, each with its `mark`.
    """

    def __init__(
        self,
        said: Sequence[Sequence[int]],
        mark: int,
        spared: frozenset[int],
        pieces: Sequence[Piece],
    ) -> None:
        self._spared = spared
        self._questions = Questions(pieces)
        self._base = len(pieces)
        # The last CONTEXT tokens are the digits of one number.
        self._limit = self._base ** (CONTEXT - 1)
        self._after: dict[int, list[int]] = {}
        self._context = mark
        for turn in said:
            self._questions.add(mark)
            for token in turn[1:]:
                self.add(token)
            self._context = mark
        self._questions.add(mark)

    def add(self, token: int) -> Sequence[int]:
        """Take in the next token of the turn, and return what must not follow it."""
        context = self._context
        if token not in self._spared and context >= self._limit:
            self._after.setdefault(context, []).append(token)
        self._context = context = context % self._limit * self._base + token
        return [*self._after.get(context, ()), *self._questions.add(token)]


class Questions:
    """Which token would begin a question that was asked before: the fourth after the same three,
    or the last of a shorter one."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._asked: dict[tuple[int, ...], list[int]] = {}
        self._opening: tuple[int, ...] = ()  # of the sentence, as far as it counts

    def add(self, token: int) -> Sequence[int]:
        """Take in the next token that the character says, and return what must not follow it."""
        piece = self._pieces[token]
        end = sentence_end(piece)
        if piece and not end:
            if len(self._opening) > CONTEXT:
                return ()
            self._opening += (token,)
            return self._asked.get(self._opening, ())
        if end == "?" and len(self._opening) >= CONTEXT:
            *same, last = self._opening
            self._asked.setdefault(tuple(same), []).append(last)
        self._opening = ()
        return ()


def recent_words(said: Sequence[Sequence[int]]) -> list[int]:
    """The tokens of the character's last turns, for the repetition penalty."""
    return [token for turn in said[-RECENT_TURNS:] for token in turn]
