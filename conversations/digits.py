"""Numbers in addresses, headers and on command lines, where anything may stand."""

from __future__ import annotations

LARGEST_ID = 2**63 - 1


def number_from(text: str, *, least: int = 0, most: int = LARGEST_ID) -> int | None:
    """The number that a text is in ASCII digits; None if it is none from `least` to `most`."""
    # `int` takes the digits of every script, and refuses thousands of them.
    digits = text.lstrip("0") or text[:1]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(most))):
        return None
    number = int(digits)
    return number if least <= number <= most else None
