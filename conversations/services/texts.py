"""What is taken out of texts before they are kept, and before they are given away."""

from __future__ import annotations

import re
import unicodedata

_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_ENDINGS = (
    "com|org|net|edu|gov|info|biz|io|co|me|tv|app|dev|xyz|site|online|shop|blog|chat|link|ly|gg|be|"
    "uk|us|ca|au|nz|ie|de|at|ch|fr|it|es|pt|nl|dk|se|no|fi|pl|cz|ru|ua|in|jp|cn|kr|br|mx|eu"
)
_LINK = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]*://|\bwww\.)\S+"
    rf"|(?<![\w@.])(?:[a-z0-9-]+\.)+(?:{_ENDINGS})\b(?:[:/?#]\S*)?(?![\w@])",
    re.IGNORECASE,
)
# Seven to fifteen digits (E.164 allows no more) with the usual marks between them, and longer runs
# such as card and account numbers. Dates and times are no numbers to call.
_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)|(?<!\d)\d{1,2}[./]\d{1,2}[./]\d{4}(?!\d)")
_NUMBER = re.compile(r"(?<![\w\[])(?:\+|\(\+?)?\d(?:[\s()./\u2013-]{0,3}\d){6,}(?!\w)")


def text_clean(*, text: str) -> str:
    """The text without lone surrogates and control characters other than newline and tab, which
    no database, terminal or tokenizer wants."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"})


def is_visible(*, text: str) -> bool:
    """Whether there is anything in a text that can be seen."""
    return any(unicodedata.category(c)[0] not in "ZC" for c in text)


def text_mask(*, text: str) -> str:
    """The text with e-mail addresses, links and phone numbers replaced by `[email]`, `[link]` and
    `[phone]`. Masking again changes nothing."""
    text = _EMAIL.sub("[email]", text)
    text = _LINK.sub("[link]", text)
    return _NUMBER.sub(_number, text)


def _number(match: re.Match[str]) -> str:
    return match[0] if _DATE.fullmatch(match[0].strip()) else "[phone]"
