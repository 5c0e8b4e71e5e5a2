"""Phone numbers as Twilio writes them, stored in E.164 and shown masked."""

from __future__ import annotations

import re
from dataclasses import dataclass

import phonenumbers

_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
WHATSAPP = "whatsapp:"


class NumberInvalid(ValueError):
    """Not a phone number; the message does not repeat what was given."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a text comes from or goes to: a number, reached by SMS or through WhatsApp."""

    number: str
    whatsapp: bool = False

    def __str__(self) -> str:
        return f"{WHATSAPP}{self.number}" if self.whatsapp else self.number


def number_parse(text: str) -> str:
    """The number in E.164 (ITU-T): `+` and up to 15 digits. Spaces, dashes and brackets may stand
    between the digits.

    A number counts when its length is right for its country: whether somebody has it is the
    carrier's to know, and numbers kept free for tests and films have to work too.
    Raises NumberInvalid.
    """
    try:
        number = phonenumbers.parse(text.strip(), None)
    except phonenumbers.NumberParseException as error:
        raise NumberInvalid(
            "a phone number is written with + and the country's code, for example +14155550123"
        ) from error
    if not phonenumbers.is_possible_number(number):
        raise NumberInvalid("this number has too many or too few digits for its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def address_parse(text: str, *, short_code: bool = False) -> Address:
    """An address as in Twilio's `From` and `To`: `+1…` or `whatsapp:+1…`.

    With `short_code` the few digits of one are an address too: our own number may be one. Texts
    *from* one come from machines, and two machines would talk for ever. A number in E.164 is taken
    as it is: WhatsApp goes on writing Mexico's with a digit that its plan no longer has, and who
    can text has a number. Raises NumberInvalid.
    """
    text = text.strip()
    whatsapp = text.lower().startswith(WHATSAPP)
    rest = text[len(WHATSAPP) :] if whatsapp else text
    if short_code and not whatsapp and _SHORT_CODE.fullmatch(rest):
        return Address(rest)
    return Address(rest if _E164.fullmatch(rest) else number_parse(rest), whatsapp)


def number_mask(number: str) -> str:
    """The number as the admin and the log show it: the country's code and the last two digits."""
    try:
        code = str(phonenumbers.parse(number, None).country_code)
    except phonenumbers.NumberParseException:
        return "•" * max(0, len(number) - 2) + number[-2:]
    return f"+{code}{'•' * (len(number) - len(code) - 3)}{number[-2:]}"
