"""Replies are made of words that there are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inference.bundle import MANIFEST_FILE, WORDS_FILE, Bundle
from inference.engine import Engine
from inference.errors import BundleError
from inference.params import EngineConfig, SamplingParams
from inference.prompt import PromptRenderer, Turn
from inference.spelling import Lexicon, Spelling, WordList, words_in
from inference.vocabulary import Vocabulary

ASKED = "Tell me about the zorblatt."
PERSONA = ["I live in Ljubljana.", "I play the theorbo."]


@pytest.fixture(scope="module")
def lexicon(bundle: Bundle, renderer: PromptRenderer) -> Lexicon:
    found = Lexicon.of(bundle, Vocabulary.of(renderer.tokenizer))
    assert found is not None
    return found


@pytest.fixture
def can_say(bundle: Bundle, lexicon: Lexicon, renderer: PromptRenderer) -> Callable[[str], bool]:
    """Whether a reply could say it and end."""
    own = WordList(words_in(" ".join((*PERSONA, ASKED)).lower()))

    def fits(text: str) -> bool:
        spelling = Spelling(lexicon, own)
        for token in (*renderer.encode(text), bundle.special_tokens.person):
            if not spelling.fits(token):
                return False
            spelling.add(token)
        return True

    return fits


@pytest.mark.parametrize(
    "text",
    [
        "I don't know, it's half past 5 o'clock, isn't it?",
        "We're self-taught photographers!",
        "Ljubljana has a theorbo and a zorblatt.",
        "So naïve 😀 2nd 10am",
        "I am an architect, a one-eyed cat, an honest man, a European and a user of an x-ray.",
        "I had an apple, a banana and an orange in an hour.",
        "",
    ],
)
def test_words_of_the_list_and_of_the_prompt_can_be_said(
    can_say: Callable[[str], bool], text: str
) -> None:
    assert can_say(text)


@pytest.mark.parametrize(
    "text",
    [
        "I fapped the train.",
        "The wrongthouse is mine.",
        "I went to Ljubl.",
        "I am a dedic.",
        "I am a architect.",
        "I have an banana.",
    ],
)
def test_words_that_there_are_not_cannot(can_say: Callable[[str], bool], text: str) -> None:
    assert not can_say(text)


async def said(engine: Engine, seed: int) -> list[str]:
    wild = SamplingParams(temperature=1.4, top_k=64, top_p=1, max_tokens=40, seed=seed)
    text, _ = await engine.answer(PERSONA, [Turn("person", ASKED)], wild)
    # What the limit cut off is no word.
    return words_in(text.lower())[:-1]


def test_what_is_avoided_is_not_written_in_pieces(
    lexicon: Lexicon, renderer: PromptRenderer
) -> None:
    [awesome], [first], *_ = map(renderer.encode, ("awesome", "aw"))
    [rest] = (token for letters, token in lexicon.inner.items() if letters == "esome")
    spelling = Spelling(lexicon, WordList([]))
    spelling.add(first)
    assert spelling.fits(rest)
    spelling = Spelling(lexicon, WordList([]), avoided=[awesome])
    spelling.add(first)
    assert not spelling.fits(rest)


async def test_wild_replies_are_made_of_words(bundle: Bundle, tmp_path: Path) -> None:
    listed = (bundle.path / WORDS_FILE).read_text(encoding="utf-8")
    known = set(words_in(" ".join((listed, *PERSONA, ASKED)).lower()))
    without = Path(shutil.copytree(bundle.path, tmp_path / "without"))
    manifest = json.loads((without / MANIFEST_FILE).read_text())
    del manifest["files"][WORDS_FILE]
    (without / MANIFEST_FILE).write_text(json.dumps(manifest))
    for path, has_list in ((bundle.path, True), (without, False)):
        engine = Engine(EngineConfig(path, max_batch=4, threads=1))
        replies = [await said(engine, seed) for seed in range(30)]
        engine.close()
        assert sum(map(len, replies)) > 200
        assert ({word for reply in replies for word in reply} <= known) is has_list


async def test_names_of_the_list_get_their_capitals(engine: Engine) -> None:
    exact = SamplingParams(temperature=0, copying=1, max_tokens=30)
    told, asked = "I went to iceland with lucy.", "Where did I go with lucy?"
    turns = [Turn("person", told), Turn("bot", "I see."), Turn("person", asked)]
    text, _ = await engine.answer(PERSONA, turns, exact)
    assert text.startswith("You went to Iceland with Lucy.")


def test_a_bundle_may_come_without(bundle: Bundle, renderer: PromptRenderer) -> None:
    files = {name: entry for name, entry in bundle.files.items() if name != WORDS_FILE}
    assert Lexicon.of(replace(bundle, files=files), Vocabulary.of(renderer.tokenizer)) is None


def test_ids_that_no_token_has_are_no_words(bundle: Bundle, renderer: PromptRenderer) -> None:
    padded = replace(bundle, vocab_size=bundle.vocab_size + 32)
    lexicon = Lexicon.of(padded, Vocabulary.of(renderer.tokenizer))
    assert lexicon is not None
    spelling = Spelling(lexicon, WordList([]))
    spelling.add(renderer.encode("dedic")[0])
    assert not spelling.fits(padded.vocab_size - 1)


def test_a_list_that_is_no_text_is_named(
    bundle: Bundle, renderer: PromptRenderer, tmp_path: Path
) -> None:
    shutil.copy(bundle.path / "model.onnx", tmp_path / WORDS_FILE)
    with pytest.raises(BundleError, match=r"words\.txt: not UTF-8"):
        Lexicon.of(replace(bundle, path=tmp_path), Vocabulary.of(renderer.tokenizer))
