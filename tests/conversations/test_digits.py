"""Numbers in addresses and headers, where anything may stand."""

from __future__ import annotations

import pytest

from conversations.digits import number_from


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0), ("7", 7), ("007", 7), ("0" * 5_000, 0), ("200", 200)),
        *((text, None) for text in ("", "201", "-1", "+1", " 1", "1.0", "1e2", "x", "²", "٣")),
        *((text, None) for text in ("9" * 5_000, "0x1", "1_0")),
    ],
)
def test_only_what_is_a_number_within_bounds_is_one(text: str, number: int | None) -> None:
    assert number_from(text, most=200) == number


def test_the_least_is_a_bound_too() -> None:
    assert [number_from(text, least=1, most=12) for text in ("0", "1", "12", "13")] == [
        *(None, 1, 12, None)
    ]


@pytest.mark.parametrize(("text", "number"), [(str(2**63 - 1), 2**63 - 1), (str(2**63), None)])
def test_no_id_is_larger_than_a_database_has(text: str, number: int | None) -> None:
    assert number_from(text) == number
