from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.segments import Cost, text_cost, text_fit, text_plain


@pytest.mark.parametrize(
    ("text", "encoding", "segments"),
    [
        ("", "GSM-7", 0),
        ("a" * 160, "GSM-7", 1),
        ("a" * 161, "GSM-7", 2),
        ("a" * 306, "GSM-7", 2),
        ("a" * 307, "GSM-7", 3),
        ("€" * 80, "GSM-7", 1),
        ("€" * 81, "GSM-7", 2),
        # 153 is odd: the second half of the 77th euro sign does not fit into the first segment.
        ("€" * 152, "GSM-7", 2),
        ("€" * 153, "GSM-7", 3),
        ("a" * 152 + "€" + "a" * 151, "GSM-7", 2),
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 3),
        ("я" * 70, "UCS-2", 1),
        ("я" * 71, "UCS-2", 2),
        ("я" * 134, "UCS-2", 2),
        ("я" * 135, "UCS-2", 3),
        ("😀" * 35, "UCS-2", 1),
        ("😀" * 36, "UCS-2", 2),
        # A pair of surrogates stays together, so only 33 fit into a segment of 67.
        ("😀" * 66, "UCS-2", 2),
        ("😀" * 67, "UCS-2", 3),
        ("a" * 69 + "ç", "UCS-2", 1),
        ("ÄÖÜäöüßñÑ£¥Çéèùìò\n@", "GSM-7", 1),
    ],
)
def test_cost_follows_the_gsm_and_ucs2_rules(text: str, encoding: str, segments: int) -> None:
    assert text_cost(text) == Cost(encoding, segments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("“Well…” she said — ‘it’s fine’", "\"Well...\" she said - 'it's fine'"),
        ("naïve fiancée, garçon", "naive fiancée, garcon"),
        ("a\u00a0b\u2003c\u200bd", "a b cd"),
        ("one\r\n\r\n\r\n\r\ntwo\x00\x07", "one\n\ntwo"),
        ("I love it 😀 привет", "I love it 😀 привет"),
        ("  much   air  ", "much air"),
        ("½ 日本", "½ 日本"),
    ],
)
def test_plain_characters_for_typographic_ones(written: str, plain: str) -> None:
    assert text_plain(written) == plain


def test_typographic_marks_do_not_make_a_text_cost_more() -> None:
    assert text_cost(text_plain("It’s “fine” — really… " * 6).ljust(150)) == Cost("GSM-7", 1)


def test_a_long_text_ends_after_a_sentence() -> None:
    text = "I drive a bus at night. " * 20
    fitted = text_fit(text, max_segments=1)
    assert fitted == ("I drive a bus at night. " * 6).strip()


def test_a_long_sentence_ends_after_a_word() -> None:
    fitted = text_fit("Hello. " + "wandering " * 40, max_segments=1)
    assert fitted.endswith("wandering...")
    assert 150 < len(fitted) <= 160


def test_one_endless_word_is_cut_anywhere() -> None:
    assert text_fit("x" * 500, max_segments=1) == "x" * 157 + "..."


def test_the_prefix_stays_whole_and_counts() -> None:
    fitted = text_fit("Yes. " * 60, max_segments=1, prefix="(Somebody new is here.)")
    assert fitted.startswith("(Somebody new is here.)\nYes. Yes.")
    assert text_cost(fitted).segments == 1


def test_an_emoji_of_several_parts_is_not_torn() -> None:
    family = "👨‍👩‍👧"
    fitted = text_fit(family * 30, max_segments=1)
    assert fitted.removesuffix("...").replace(family, "") == ""


@given(st.text(max_size=700), st.integers(1, 4), st.sampled_from(["", "(New here.)"]))
def test_no_text_costs_more_than_allowed(text: str, max_segments: int, prefix: str) -> None:
    fitted = text_fit(text, max_segments=max_segments, prefix=prefix)
    assert text_cost(fitted).segments <= max_segments
    assert fitted.startswith(text_plain(prefix))
    fitted.encode()  # no lone surrogates
