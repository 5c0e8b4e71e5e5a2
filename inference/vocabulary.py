"""What every token of a vocabulary is to the engine, found out once for all replies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from inference.errors import BundleError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Piece = str | bytes
"""What one token adds to a reply: text, or bytes that are not whole characters by themselves."""

# Without these there is no sentence. Penalised like the rest, they make a small model's replies
# short and crooked; what bores a reader is content said twice.
_FUNCTION_WORDS = """
    a about all also am an and any are as at be because been but by can could did do does don for
    from get go got had has have he her his how i if in is it its just like me more my no not of on
    or our out really s she should so some t than that the their them then there they this to too
    up very was we well were what when where who why will with would yes you your m re ve ll d n't
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
# After these a clause begins.
_JOINTS = frozenset([",", ";", ":", "and", "but", "so", "because"])
_GAP = frozenset("[]{}")
# No character is made of more: in UTF-8 it has at most four bytes.
_CHARACTER_TOKENS = 4
# Nothing of this is shown: control characters but for tab and newline, and the mark of bad bytes.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]")


class Part(IntEnum):
    """A token's part in a word: none, its first token, or one that goes on with it."""

    NONE = 0
    FIRST = 1
    MORE = 2


class Vocabulary:
    """The tokens of a tokenizer, by id.

    `pieces`, empty for special tokens; `ends`, the mark with which a token ends a sentence, empty
    where it ends none; `parts` in a word. And as sets of ids: `blank` shows nothing, `unshown`
    nothing by itself; `inner` goes on with a word; after `joints` a clause begins; `unspoken` is
    never said; `spared`, function words, punctuation and parts of characters, has to be said again
    and again, the rest is content.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.ends = [_end(piece) for piece in pieces]
        self.parts = [_part(piece) for piece in pieces]
        self.blank = _ids(not piece.strip() for piece in pieces)
        self.unshown = self.blank | _ids(isinstance(piece, bytes) for piece in pieces)
        self.inner = _ids(part == Part.MORE for part in self.parts)
        self.joints = _ids(_word(piece) in _JOINTS for piece in pieces)
        self.unspoken = _ids(not piece or _is_gap(piece) for piece in pieces)
        self.spared = _ids(not _is_content(piece) for piece in pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    def shows_last(self, tokens: Sequence[int]) -> bool:
        """Whether the last of these tokens shows something, by itself or as the end of a
        character."""
        if tokens[-1] not in self.unshown:
            return True
        pieces = (self.pieces[token] for token in tokens[-_CHARACTER_TOKENS:])
        raw = b"".join(piece.encode() if isinstance(piece, str) else piece for piece in pieces)
        return bool(shown(raw.decode("utf-8", "ignore")).strip())

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Vocabulary:
        """That of a byte-level BPE. Raises BundleError for another kind of tokenizer.

        Such a tokenizer writes each byte as one printable character (Radford et al. 2019, GPT-2).
        """
        byte_of = _byte_of_character()
        added = set(tokenizer.get_added_tokens_decoder())
        ids = tokenizer.get_vocab(with_added_tokens=True)
        pieces: list[Piece] = [""] * (max(ids.values()) + 1)
        for token, token_id in ids.items():
            if token_id in added:
                continue
            try:
                pieces[token_id] = _piece(bytes(byte_of[character] for character in token))
            except KeyError:
                raise BundleError(
                    f"The tokenizer is not a byte-level BPE: it has {token!r}."
                ) from None
        return cls(pieces)


def shown(text: str) -> str:
    """The text without what is not to be seen."""
    return _UNSEEN.sub("", text)


def _ids(is_one: Iterable[bool]) -> frozenset[int]:
    return frozenset(token for token, one in enumerate(is_one) if one)


def _end(piece: Piece) -> str:
    mark = piece.strip()[-1:] if isinstance(piece, str) else ""
    return mark if mark in {".", "!", "?"} else ""


def _part(piece: Piece) -> Part:
    if not isinstance(piece, str) or not piece.strip().isalpha():
        return Part.NONE
    return Part.FIRST if piece[0] == " " else Part.MORE


def _word(piece: Piece) -> str:
    return piece.strip().lstrip("'").lower() if isinstance(piece, str) else ""


def _is_content(piece: Piece) -> bool:
    word = _word(piece)
    return word not in FUNCTION_WORDS and any(letter.isalpha() for letter in word)


def _is_gap(piece: Piece) -> bool:
    """Brackets are in dialogue data the sign of a gap that its authors left ("my name is [name]",
    "(user 1's name)"). Smileys are none."""
    if isinstance(piece, bytes):
        return False
    return not _GAP.isdisjoint(piece) or piece.lstrip().startswith("(")


def _piece(raw: bytes) -> Piece:
    try:
        return shown(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return raw


def _byte_of_character() -> dict[str, int]:
    """Printable Latin-1 stands for itself; the other bytes for the characters from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    return table | {chr(0x100 + place): byte for place, byte in enumerate(others)}
