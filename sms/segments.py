"""How many segments a text costs, and how to make it cost few.

A text in the GSM 7-bit alphabet (3GPP TS 23.038) takes 160 characters in one segment and 153 in
each of several; one character outside it makes the whole text UCS-2, 70 and 67. Characters of the
alphabet's extension table take two places and are never split between segments.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Encoding = Literal["GSM-7", "UCS-2"]

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
_CAPACITY = {"GSM-7": (160, 153), "UCS-2": (70, 67)}

# What a keyboard writes for what a typographer wrote.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′ʼʹ`´", "'"),  # noqa: RUF001 - the characters are the point
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‹", "<"),  # noqa: RUF001
        **dict.fromkeys("›", ">"),  # noqa: RUF001
        **dict.fromkeys("‐‑‒–—―−", "-"),  # noqa: RUF001
        **dict.fromkeys("\t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008", " "),
        **dict.fromkeys("\u2009\u200a\u202f\u205f\u3000", " "),
        **dict.fromkeys("\u200b\u200e\u200f\u2060\ufeff\u00ad", ""),
        **dict.fromkeys("•·∙", "-"),
        "…": "...",
        "™": "(TM)",
        "©": "(c)",
        "®": "(R)",
        "×": "x",  # noqa: RUF001
        "\u2028": "\n",
        "\u2029": "\n",
    }
)
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|\n")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a text costs to send."""

    encoding: Encoding
    segments: int


def text_plain(text: str) -> str:
    """The text in plain characters: typographic marks mapped, accents that the GSM alphabet lacks
    taken off, control characters out, runs of spaces closed up. Emoji and other scripts stay."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(_to_gsm(character) for character in text.translate(_PLAIN))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _to_gsm(character: str) -> str:
    if character in _BASIC or character in _EXTENSION:
        return character
    if unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"}:
        return ""
    base = "".join(c for c in unicodedata.normalize("NFKD", character) if c in _BASIC)
    return base if base and base[0].isalnum() and character.isalpha() else character


def text_cost(text: str) -> Cost:
    """Encoding and number of segments; an empty text has none."""
    encoding: Encoding = "GSM-7" if all(c in _BASIC or c in _EXTENSION for c in text) else "UCS-2"
    widths = [_width(character, encoding) for character in text]
    single, several = _CAPACITY[encoding]
    if sum(widths) <= single:
        return Cost(encoding, 1 if text else 0)
    segments, used = 1, 0
    for width in widths:
        if used + width > several:
            segments, used = segments + 1, 0
        used += width
    return Cost(encoding, segments)


def _width(character: str, encoding: Encoding) -> int:
    if encoding == "GSM-7":
        return 2 if character in _EXTENSION else 1
    return 2 if ord(character) > 0xFFFF else 1


def text_fit(text: str, *, max_segments: int, prefix: str = "") -> str:
    """`prefix` and the text in plain characters within `max_segments`.

    A text that is too long ends after its last whole sentence that fits, if that keeps at least
    half of what fits; else after a word, with three dots.
    """
    prefix = f"{text_plain(prefix)}\n" if prefix else ""
    text = text_plain(text)
    if text_cost(prefix + text).segments <= max_segments:
        return (prefix + text).rstrip("\n")
    fitting = _longest(text, prefix, max_segments)
    sentences = [match.end() for match in _SENTENCE_END.finditer(text) if match.end() <= fitting]
    if sentences and sentences[-1] * 2 >= fitting:
        return prefix + text[: sentences[-1]].rstrip()
    cut = _longest(text, prefix, max_segments, tail="...")
    word = text.rfind(" ", 0, cut + 1)
    kept = text[: word if word * 2 >= cut else cut].rstrip(" ,;:-\n.")
    return f"{prefix}{kept}..."


def _longest(text: str, prefix: str, max_segments: int, tail: str = "") -> int:
    """The length of the longest beginning of the text that fits together with prefix and tail."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if text_cost(prefix + text[:middle] + tail).segments <= max_segments:
            low = middle
        else:
            high = middle - 1
    while 0 < low < len(text) and _belong_together(text[low - 1], text[low]):
        low -= 1
    return low


def _belong_together(before: str, after: str) -> bool:
    """A letter and its accent, the parts of one emoji."""
    return (
        before == "\u200d"
        or unicodedata.combining(after) != 0
        or after in "\u200d\ufe0f"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
    )
