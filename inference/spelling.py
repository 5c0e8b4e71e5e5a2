"""Keeps a reply to words that there are.

A word that is no token of its own is written in pieces, and a small model loses its way between
them: "I fapped the train", "I live in the wrongthouse". Where a bundle has a list of words, a piece
follows only where it goes on with one of them, or with a word of the persona's or the person's, and
a word ends only where it is one. In English "an" stands before a vowel and "a" before none.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable

from inference.bundle import WORDS_FILE, Bundle
from inference.errors import BundleError
from inference.vocabulary import Part, Vocabulary

_WORD = re.compile(r"[^\W\d_]+")
# After a digit or an apostrophe come letters that are no word.
_LETS_BEGIN = re.compile(r"[^\w']$")
_ARTICLES = ("a", "an")
# By the beginning of a word; it leaves open "hour", "one", "use", "European" and "x-ray".
_AFTER_AN = re.compile(r"[ai]\w|e[^uw\W]|o[^n\W]")
_AFTER_A = re.compile(r"[b-df-gj-np-tv-z][aeiouy]|[bcdfgkpt][lr]")


def words_in(text: str) -> list[str]:
    """Every run of letters: "don't" is two."""
    return _WORD.findall(text)


def _article(beginning: str) -> str:
    if _AFTER_AN.match(beginning):
        return "an"
    return "a" if _AFTER_A.match(beginning) else ""


class WordList:
    """Words in lower case, found by how they begin."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = sorted(words)

    def begins(self, beginning: str) -> bool:
        """Whether one begins so, or is this."""
        return self.first_from(beginning).startswith(beginning)

    def __contains__(self, word: str) -> bool:
        return self.first_from(word) == word

    def first_from(self, word: str) -> str:
        """The first one that does not come before this; empty after the last."""
        place = bisect_left(self._words, word)
        return self._words[place] if place < len(self._words) else ""


class Lexicon:
    """The list of words of one bundle, for the tokens of its vocabulary.

    `names` are those written with capitals, by lower case. By token: `parts` in a word; `letters`,
    None for a token that is not whole characters; whether a word has `begun` with it, whether it is
    `whole` then, whether one may begin `after` it even without a space, as after a hyphen, and
    which `article` it wants, empty for either. `inner` are the tokens that go on with a word, by
    their letters.
    """

    def __init__(self, words: Iterable[str], vocabulary: Vocabulary, vocab_size: int) -> None:
        written = {word.lower(): word for word in words}
        self.names = {word: name for word, name in written.items() if word != name}
        self.words = WordList(written)
        unused = vocab_size - len(vocabulary)
        self.parts = [*vocabulary.parts, *[Part.NONE] * unused]
        self.letters = [
            piece.strip().lower() if isinstance(piece, str) else None
            for piece in (*vocabulary.pieces, *[""] * unused)
        ]
        tokens = list(zip(self.letters, self.parts, strict=True))
        firsts = [letters if part == Part.FIRST else None for letters, part in tokens]
        self.begun = [first is not None and self.words.begins(first) for first in firsts]
        self.whole = [first is not None and first in self.words for first in firsts]
        self.after = [bool(letters and _LETS_BEGIN.search(letters)) for letters in self.letters]
        has_articles = {"a", "an", "the"} <= written.keys()
        self.article = [_article(first) if has_articles and first else "" for first in firsts]
        self.inner = {
            letters: token for token, (letters, part) in enumerate(tokens) if part == Part.MORE
        }

    @classmethod
    def of(cls, bundle: Bundle, vocabulary: Vocabulary) -> Lexicon | None:
        """None for a bundle that has no such list. Raises BundleError."""
        if WORDS_FILE not in bundle.files:
            return None
        path = bundle.path / WORDS_FILE
        try:
            words = path.read_text(encoding="utf-8").split()
        except UnicodeDecodeError as error:
            raise BundleError(f"{path}: not UTF-8 ({error.reason}).") from error
        return cls(words, vocabulary, bundle.vocab_size)


class Spelling:
    """What a reply may go on with; `own` are the words of its prompt. A word that begins with an
    `avoided` token and ends there is not written in other pieces either."""

    def __init__(self, lexicon: Lexicon, own: WordList, avoided: Iterable[int] = ()) -> None:
        self._lexicon = lexicon
        self._avoided = frozenset(lexicon.letters[token] for token in avoided)
        self._lists = (lexicon.words, own)
        # As far as the word is written; None in what is none, as "nd" in "2nd".
        self._word: str | None = ""
        self._is_whole = True

    def fits(self, token: int) -> bool:
        """Whether a token can come next."""
        lexicon = self._lexicon
        part, letters = lexicon.parts[token], lexicon.letters[token]
        if letters is None:
            return True  # part of a character, and perhaps of a word
        if part == Part.MORE:
            if self._word is None:
                return True
            word = self._word + letters
            return word not in self._avoided and self._begins(word)
        if not self._is_whole:
            return False
        if (wanted := lexicon.article[token]) and self._word in _ARTICLES and self._word != wanted:
            return False
        return part == Part.NONE or lexicon.begun[token] or self._begins(letters)

    def add(self, token: int) -> None:
        """Take in the next token of the reply."""
        lexicon = self._lexicon
        part, letters = lexicon.parts[token], lexicon.letters[token]
        if part == Part.FIRST and letters:
            self._word = letters
            self._is_whole = lexicon.whole[token] or self._is_word(letters)
        elif part == Part.MORE and letters:
            if self._word is not None:
                self._word += letters
                self._is_whole = self._is_word(self._word)
        else:
            self._word, self._is_whole = "" if lexicon.after[token] else None, True

    def rest(self) -> int | None:
        """The longest token with which a word that is begun goes on as one that there is."""
        begun = self._word or ""
        known = (words.first_from(begun) for words in self._lists)
        rest = next((word[len(begun) :] for word in known if word.startswith(begun)), "")
        ends = range(len(rest), 0, -1)
        inner = self._lexicon.inner
        return next((inner[rest[:end]] for end in ends if rest[:end] in inner), None)

    def _begins(self, beginning: str) -> bool:
        return any(words.begins(beginning) for words in self._lists)

    def _is_word(self, word: str) -> bool:
        return any(word in words for words in self._lists)
