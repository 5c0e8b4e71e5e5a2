"""Token ids to text while they arrive: whole characters only, in proper case."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from inference.casing import CaseRestorer
from inference.vocabulary import Piece, shown


class Detokenizer:
    """Turns one reply's tokens into text; the pieces joined are the whole text.

    Bytes of a character that is not complete yet are held back, bytes that can never become one
    are dropped. Space at either end of the reply is left out. `started` says whether the reply
    shows anything yet.
    """

    def __init__(self, pieces: Sequence[Piece], case: CaseRestorer | None = None) -> None:
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
        return shown(text)

    def _shape(self, text: str) -> str:
        text = self._space + text if self.started else text.lstrip()
        seen = text.rstrip()
        self._space = text[len(seen) :]
        if not seen:
            return ""
        self.started = True
        return self._case.add(seen) if self._case else seen
