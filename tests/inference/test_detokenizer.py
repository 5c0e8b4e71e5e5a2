"""Tokens to text, as they come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.casing import CaseRestorer, names_in
from inference.detokenizer import Detokenizer
from inference.prompt import PromptRenderer
from inference.vocabulary import Vocabulary


def pieces_of(renderer: PromptRenderer, text: str) -> list[str]:
    detokenizer = Detokenizer(Vocabulary.of(renderer.tokenizer).pieces)
    ids = renderer.tokenizer.encode(text, add_special_tokens=False).ids
    return [*(detokenizer.add(token) for token in ids), detokenizer.finish()]


@pytest.mark.parametrize(
    "text", ["hello there, friend.", "naïve café", "日本語です", "a 👩‍👩‍👧 b", "🙂"]
)
def test_the_pieces_joined_are_the_text(renderer: PromptRenderer, text: str) -> None:
    pieces = pieces_of(renderer, f" {text} ")
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"])))
def test_any_text_survives(renderer: PromptRenderer, text: str) -> None:
    text = text.replace("\ufffd", "")
    assert "".join(pieces_of(renderer, text)) == text.strip()


def test_a_character_that_never_becomes_whole_is_left_out(renderer: PromptRenderer) -> None:
    ids = renderer.tokenizer.encode("ok 🙂", add_special_tokens=False).ids
    detokenizer = Detokenizer(Vocabulary.of(renderer.tokenizer).pieces)
    text = "".join(detokenizer.add(token) for token in ids[:-1]) + detokenizer.finish()
    assert text == "ok"


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("i think i'm fine. you? yes!", "I think I'm fine. You? Yes!"),
        ("hi, it is monday in paris.", "Hi, it is Monday in Paris."),
        ("version 1.5 is in. i like it", "Version 1.5 is in. I like it"),
        ("well... maybe i will", "Well... Maybe I will"),
        ("my name is lucy. the name is not lucy's", "My name is Lucy. The name is not lucy's"),
        ("i", "I"),
    ],
)
def test_capitals_come_back_however_the_text_is_cut(spoken: str, written: str) -> None:
    for size in (1, 2, 3, 50):
        case = CaseRestorer()
        cut = [spoken[i : i + size] for i in range(0, len(spoken), size)]
        assert "".join(case.add(piece) for piece in cut) + case.finish() == written


def test_names_that_the_conversation_writes_so_are_written_so() -> None:
    known = CaseRestorer(known={"st": "St", "lucy": "Lucy"})
    assert known.add("lucy came on the 1st. ") == "Lucy came on the 1st. "
    called = CaseRestorer(names_in(["My name is Daisy Boone.", "I live in New York."]))
    assert called.add("my name is daisy boone. a new hat ") == "My name is Daisy Boone. A new hat "
    case = CaseRestorer(names_in(["My cat is called Admiral, you know.", "I met Olga there."]))
    assert case.add("admiral likes olga. ") + case.finish() == "Admiral likes Olga. "


@pytest.mark.parametrize(
    ("piece", "said"),
    [(" hello", True), (":)", True), (" [", False), ("}", False), (" (", False), ("(user", False)],
)
def test_gaps_that_authors_left_are_not_said(piece: str, said: bool) -> None:
    assert Vocabulary(["", " hi", piece]).unspoken == ({0} if said else {0, 2})
