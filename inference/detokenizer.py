"""Token ids to text while they arrive: whole characters only, in proper case."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from inference.casing import CaseRestorer
from inference.errors import BundleError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Piece = str | bytes
"""What one token adds to a reply: text, or bytes that are not whole characters by themselves."""

_GAP = frozenset("[]{}")
# Nothing of this is shown: control characters but for tab and newline, and the mark of bad bytes.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]")


def token_pieces(tokenizer: Tokenizer) -> list[Piece]:
    """The piece of every token of a byte-level BPE, by id; empty for special tokens.

    Such a tokenizer writes each byte as one printable character (Radford et al. 2019, GPT-2).
    Raises BundleError for another kind of tokenizer.
    """
    byte_of = _byte_of_character()
    added = set(tokenizer.get_added_tokens_decoder())
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    pieces: list[Piece] = [""] * (max(vocabulary.values()) + 1)
    for token, token_id in vocabulary.items():
        if token_id in added:
            continue
        try:
            pieces[token_id] = _piece(bytes(byte_of[character] for character in token))
        except KeyError:
            raise BundleError(f"The tokenizer is not a byte-level BPE: it has {token!r}.") from None
    return pieces


def sentence_end(piece: Piece) -> str:
    """The mark with which a piece ends a sentence; empty where it ends none."""
    mark = piece.strip()[-1:] if isinstance(piece, str) else ""
    return mark if mark in {".", "!", "?"} else ""


def blank_tokens(pieces: list[Piece]) -> list[int]:
    """Ids that show nothing: special tokens and white space."""
    return [token for token, piece in enumerate(pieces) if not piece.strip()]


def unshown_tokens(pieces: list[Piece]) -> list[int]:
    """Ids that show nothing by themselves: blank ones and parts of characters."""
    parts = (token for token, piece in enumerate(pieces) if isinstance(piece, bytes))
    return [*blank_tokens(pieces), *parts]


def unspoken_tokens(pieces: list[Piece]) -> list[int]:
    """Ids that no character says: special tokens, and brackets, which in dialogue data are the sign
    of a gap that its authors left ("my name is [name]", "(user 1's name)"). Smileys are said."""
    return [token for token, piece in enumerate(pieces) if not piece or _is_gap(piece)]


def _is_gap(piece: Piece) -> bool:
    if isinstance(piece, bytes):
        return False
    return not _GAP.isdisjoint(piece) or piece.lstrip().startswith("(")


def _piece(raw: bytes) -> Piece:
    try:
        return _UNSEEN.sub("", raw.decode("utf-8"))
    except UnicodeDecodeError:
        return raw


def _byte_of_character() -> dict[str, int]:
    """Printable Latin-1 stands for itself; the other bytes for the characters from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    return table | {chr(0x100 + place): byte for place, byte in enumerate(others)}


class Detokenizer:
    """Turns one reply's tokens into text; the pieces joined are the whole text.

    Bytes of a character that is not complete yet are held back, bytes that can never become one
    are dropped. Space at either end of the reply is left out. `started` says whether the reply
    shows anything yet.
    """

    def __init__(self, pieces: list[Piece], case: CaseRestorer | None = None) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self._case = case
        self._is_split = False
        self._space = ""
        self.started = False

    def add(self, token_id: int) -> str:
        """The text that is certain now; may be empty."""
        piece = self._pieces[token_id]
        if self._is_split or isinstance(piece, bytes):
            piece = self._decode(piece)
        return self._shape(piece)

    def finish(self) -> str:
        """What was held back and is text after all."""
        return self._case.finish() if self._case else ""

    def _decode(self, piece: Piece) -> str:
        raw = piece.encode() if isinstance(piece, str) else piece
        text = self._decoder.decode(raw)
        self._is_split = bool(self._decoder.getstate()[0])
        return _UNSEEN.sub("", text)

    def _shape(self, text: str) -> str:
        text = self._space + text if self.started else text.lstrip()
        shown = text.rstrip()
        self._space = text[len(shown) :]
        if not shown:
            return ""
        self.started = True
        return self._case.add(shown) if self._case else shown
