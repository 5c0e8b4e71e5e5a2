from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from sms.models import Contact
from sms.numbers import Address, NumberInvalid, address_parse, number_mask, number_parse


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+14155550123", "+14155550123"),
        (" +1 (415) 555-0123 ", "+14155550123"),
        ("+44 7700 900123", "+447700900123"),
        ("+15005550006", "+15005550006"),
    ],
)
def test_numbers_are_kept_in_e164(written: str, number: str) -> None:
    assert number_parse(written) == number


@pytest.mark.parametrize("written", ["", "4155559876", "+1555", "hello", "+999", "+1415555987654"])
def test_what_is_no_number_is_refused_without_repeating_it(written: str) -> None:
    with pytest.raises(NumberInvalid) as refusal:
        number_parse(written)
    assert not written or written not in str(refusal.value)


def test_addresses_of_sms_and_whatsapp() -> None:
    assert address_parse("+14155550123") == Address("+14155550123")
    assert address_parse("WhatsApp:+14155550123") == Address("+14155550123", whatsapp=True)
    assert str(address_parse("whatsapp:+14155550123")) == "whatsapp:+14155550123"
    assert address_parse("12345", short_code=True) == Address("12345")
    # As WhatsApp writes numbers of Mexico, one digit longer than they are.
    mexico = Address("+5215541637145", whatsapp=True)
    assert address_parse("whatsapp:+5215541637145") == mexico
    for wrong in ("12345", "+12345", "+1415555987654321", "whatsapp:+0123456789"):
        with pytest.raises(NumberInvalid):
            address_parse(wrong)


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+14155550123", "+1••••••••23"),
        ("+447700900123", "+44••••••••23"),
        ("12345", "•••45"),
    ],
)
def test_a_masked_number_shows_country_and_two_digits(number: str, masked: str) -> None:
    assert number_mask(number) == masked


def test_a_contact_names_itself_masked_and_takes_only_e164() -> None:
    assert str(Contact(number="+14155550123")) == "+1••••••••23"
    with pytest.raises(ValidationError, match=r"Write it as \+14155550123"):
        Contact(number="+1 415 555 0123").clean_fields()
