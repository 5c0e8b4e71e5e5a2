"""Tokens to text, as they come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.capitals import names_in
from inference.casing import CaseRestorer
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


LONG_NAMES = names_in(
    [
        "I am from Cape Coast, you know.",
        "I sailed from Port of Spain to Port Elizabeth.",
        "My aunt has a house in New York and in New York City.",
        "We met at Land\u2019s End and then again in Porto-Novo.",
        "Cape Verde is far. Harbour Road is near.",
        "My Cat is old, but In Deed it is called Rex.",
        "I HATE IT when it rains, they say.",
    ]
)


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("i am from cape coast.", "I am from Cape Coast."),
        ("the coast of the cape", "The coast of the cape"),
        ("from port of spain's port", "From Port of Spain's port"),
        ("a port of call, a port elizabeth", "A port of call, a Port Elizabeth"),
        ("a new york", "A New York"),
        ("a new york city!", "A New York City!"),
        ("a new york cat, a new new york", "A New York cat, a new New York"),
        ("from land's end to porto-novo", "From Land's End to Porto-Novo"),
        ("a new, york. new yorkers", "A new, york. New yorkers"),
        # Its first word has a capital elsewhere, that of the other only where a sentence starts.
        ("in cape verde", "In Cape Verde"),
        ("is harbour road far", "Is harbour road far"),
        ("is my cat in deed here", "Is my cat In Deed here"),
        ("they hate it", "They hate it"),
        ("a new", "A new"),
        ("3 new york", "3 New York"),
    ],
)
def test_names_of_several_words_come_back_however_the_text_is_cut(
    spoken: str, written: str
) -> None:
    for size in (1, 2, 3, 5, 50):
        case = CaseRestorer(LONG_NAMES)
        cut = [spoken[i : i + size] for i in range(0, len(spoken), size)]
        assert "".join(case.add(piece) for piece in cut) + case.finish() == written


def test_only_what_may_become_a_name_is_held_back() -> None:
    case = CaseRestorer(names_in(["from New York City and in New York as it was"]))
    pieces = [case.add(piece) for piece in (" i", " live", " in", " new", " york", " state", ".")]
    assert pieces == [" ", "I ", "live ", "in ", "", "", "New York state."]


WORDS = st.sampled_from(["new", "york", "city", "cape", "coast's", "port", "of", "spain", "i", "a"])
MARKS = st.sampled_from([" ", " ", " ", "-", ". ", ", ", " 1", "'"])


@given(st.lists(st.tuples(WORDS, MARKS), max_size=8), st.data())
def test_capitals_do_not_depend_on_where_the_text_is_cut(
    spoken: list[tuple[str, str]], data: st.DataObject
) -> None:
    text = "".join(word + mark for word, mark in spoken)
    whole, cut = CaseRestorer(LONG_NAMES), CaseRestorer(LONG_NAMES)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[i:j] for i, j in zip([0, *places], [*places, len(text)], strict=True)]
    written = "".join(cut.add(piece) for piece in pieces) + cut.finish()
    assert written == whole.add(text) + whole.finish()
    assert written.lower() == text


@pytest.mark.parametrize(
    ("piece", "said"),
    [(" hello", True), (":)", True), (" [", False), ("}", False), (" (", False), ("(user", False)],
)
def test_gaps_that_authors_left_are_not_said(piece: str, said: bool) -> None:
    assert Vocabulary(["", " hi", piece]).unspoken == ({0} if said else {0, 2})
