"""Token ids to text while they arrive: whole characters only, in proper case."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from inference.errors import BundleError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of every token of a byte-level BPE, by id (Radford et al. 2019).

    Such a tokenizer writes each byte as one printable character. Raises BundleError for another
    kind of tokenizer.
    """
    byte_of = _byte_of_character()
    table = [b""] * tokenizer.get_vocab_size(with_added_tokens=True)
    specials = set(tokenizer.get_added_tokens_decoder())
    for token, token_id in tokenizer.get_vocab(with_added_tokens=True).items():
        if token_id in specials:
            continue
        try:
            table[token_id] = bytes(byte_of[character] for character in token)
        except KeyError:
            raise BundleError(f"The tokenizer is not a byte-level BPE: it has {token!r}.") from None
    return table


def _byte_of_character() -> dict[str, int]:
    """Printable Latin-1 stands for itself; the other bytes for the characters from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    return table | {chr(0x100 + place): byte for place, byte in enumerate(others)}


class Detokenizer:
    """Turns one reply's tokens into text; the pieces joined are the whole text.

    Bytes of a character that is not complete yet are held back, bytes that can never become one
    are dropped. Space at either end of the reply is left out.
    """

    def __init__(self, table: list[bytes], *, restore_case: bool) -> None:
        self._table = table
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self._case = CaseRestorer() if restore_case else None
        self._space = ""
        self._started = False

    def add(self, token_id: int) -> str:
        """The text that is certain now; may be empty."""
        return self._shape(self._decoder.decode(self._table[token_id]))

    def finish(self) -> str:
        """What was held back and is text after all."""
        tail = self._shape(self._decoder.decode(b"", final=True))
        return tail + (self._case.finish() if self._case else "")

    def _shape(self, text: str) -> str:
        text = self._space + text
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        stripped = text.rstrip()
        self._space = text[len(stripped) :]
        return self._case.add(stripped) if self._case else stripped


class CaseRestorer:
    """Gives lower-cased English its capitals back: sentences begin with one, and so does "I"."""

    def __init__(self) -> None:
        self._sentence_start = True
        self._before = " "
        self._held = ""

    def add(self, text: str) -> str:
        """Text with capitals; a lone "i" is held back until the next character is known."""
        out: list[str] = []
        for character in text:
            if self._held:
                out.append("i" if character.isalnum() else "I")
                self._held = ""
            if character == "i" and not self._before.isalnum() and self._before != "'":
                if self._sentence_start:
                    out.append("I")
                else:
                    self._held = character
                self._sentence_start = False
            elif character.isalnum():
                out.append(character.upper() if self._sentence_start else character)
                self._sentence_start = False
            else:
                if character.isspace() and self._before in ".!?":
                    self._sentence_start = True
                out.append(character)
            self._before = character
        return "".join(out)

    def finish(self) -> str:
        held, self._held = self._held, ""
        return held.upper()
