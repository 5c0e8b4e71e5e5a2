"""Words of several tokens that the prompt has are spelt as it spells them."""

from __future__ import annotations

import numpy as np
import pytest

from inference.bundle import Bundle
from inference.detokenizer import token_pieces
from inference.params import SamplingParams
from inference.prompt import PromptRenderer, Turn
from inference.sampling import Sampler
from inference.spelling import Spelling

PERSONA = ["I have a cat named Wermut.", "I live in Ljubljana."]


@pytest.fixture(scope="module")
def renderer(bundle: Bundle) -> PromptRenderer:
    return PromptRenderer.from_bundle(bundle)


def spelling(bundle: Bundle, renderer: PromptRenderer, turns: list[Turn]) -> Spelling:
    prompt = renderer.render(PERSONA, turns, reserve=8)
    return Spelling(prompt.ids, token_pieces(renderer.tokenizer), bundle.special_tokens.bot)


def tokens(renderer: PromptRenderer, text: str) -> list[int]:
    ids: list[int] = renderer.tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def said(given: Spelling, ids: list[int]) -> list[list[int]]:
    """What was favoured after each token."""
    return [list(given.add(token)) for token in ids]


@pytest.mark.parametrize("word", [" wermut", " ljubljana", " zephyrine"])
def test_a_word_goes_on_as_the_prompt_has_it(
    bundle: Bundle, renderer: PromptRenderer, word: str
) -> None:
    given = spelling(bundle, renderer, [Turn("person", "I am Zephyrine!")])
    ids = tokens(renderer, word)
    assert len(ids) > 1
    favoured = said(given, ids)
    assert all(after in options for after, options in zip(ids[1:], favoured, strict=False))
    assert favoured[-1] == []


def test_only_from_the_start_of_a_word(bundle: Bundle, renderer: PromptRenderer) -> None:
    ids = tokens(renderer, " wermut")
    given = spelling(bundle, renderer, [])
    assert said(given, [tokens(renderer, " she")[0], *ids[1:]])[-1] == []
    assert said(given, [tokens(renderer, "!")[0], *ids[1:]])[-1] == []


def test_what_only_the_character_said_may_be_misspelt(
    bundle: Bundle, renderer: PromptRenderer
) -> None:
    turns = [Turn("person", "Hi!"), Turn("bot", "I am Kazimirox."), Turn("person", "Who?")]
    given = spelling(bundle, renderer, turns)
    assert said(given, tokens(renderer, " kazimirox"))[0] == []


def test_a_favoured_token_is_likelier_until_it_is_not() -> None:
    sampler = Sampler(rows=1, vocab_size=32, candidates=4)
    logits, ids = np.array([[5.0, 4.0, 3.0, 0.0]], np.float32), np.arange(10, 14)[None, :]
    sampler.start(0, SamplingParams(temperature=0, repetition_penalty=1), ())
    drawn = [int(sampler.sample(logits, ids, [0.5])[0])]
    sampler.favour(0, [11])
    drawn.append(int(sampler.sample(logits, ids, [0.5])[0]))
    sampler.unfavour(0, [11])
    drawn.append(int(sampler.sample(logits, ids, [0.5])[0]))
    assert drawn == [10, 11, 10]
