"""A reply that has begun to say what its prompt says goes on as the prompt does."""

from __future__ import annotations

import numpy as np
import pytest

from inference.bundle import Bundle
from inference.copying import NO_COPIES, Copies, Copying
from inference.params import SamplingParams
from inference.prompt import PromptRenderer, Turn
from inference.sampling import Sampler, log_likelihoods
from inference.vocabulary import Vocabulary

PERSONA = ["I have a cat named Wermut.", "I live in Ljubljana.", "I make hats by hand."]


@pytest.fixture(scope="module")
def renderer(bundle: Bundle) -> PromptRenderer:
    return PromptRenderer.from_bundle(bundle)


def copying(bundle: Bundle, renderer: PromptRenderer, turns: list[Turn]) -> Copying:
    prompt = renderer.render(PERSONA, turns, reserve=8)
    vocabulary = Vocabulary.of(renderer.tokenizer)
    return Copying(prompt.ids, vocabulary, bundle.special_tokens, share=0.8)


def tokens(renderer: PromptRenderer, text: str) -> list[int]:
    ids: list[int] = renderer.tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def said(given: Copying, ids: list[int]) -> list[list[int]]:
    """What may be copied after each token."""
    return [list(given.add(token).tokens) for token in ids]


@pytest.mark.parametrize("word", [" wermut", " ljubljana", " zephyrine"])
def test_a_word_goes_on_as_the_prompt_has_it(
    bundle: Bundle, renderer: PromptRenderer, word: str
) -> None:
    given = copying(bundle, renderer, [Turn("person", "I am Zephyrine!")])
    ids = tokens(renderer, word)
    assert len(ids) > 1
    copies = said(given, ids)
    assert all(after in options for after, options in zip(ids[1:], copies, strict=False))
    assert copies[-1] == []


def test_a_word_is_surer_than_a_line(bundle: Bundle, renderer: PromptRenderer) -> None:
    given = copying(bundle, renderer, [])
    assert given.add(tokens(renderer, " wermut")[0]).share == pytest.approx(0.95)
    given = copying(bundle, renderer, [])
    i, make, hats = (tokens(renderer, text)[0] for text in (" i", " make", " hats"))
    given.add(i)
    given.add(make)
    assert given.add(hats).share == pytest.approx(0.8)


def test_a_line_that_is_half_told_is_told_to_its_end(
    bundle: Bundle, renderer: PromptRenderer
) -> None:
    given = copying(bundle, renderer, [])
    shares = [given.add(token).share for token in renderer.encode("I make hats by hand")]
    assert shares[2] == pytest.approx(0.8)
    assert shares[4] == pytest.approx(0.99)


def test_only_from_the_start_of_a_word(bundle: Bundle, renderer: PromptRenderer) -> None:
    ids = tokens(renderer, " zephyrine")
    turns = [Turn("person", "I am Zephyrine!")]
    for before in (" she", "!"):
        given = copying(bundle, renderer, turns)
        assert said(given, [tokens(renderer, before)[0], *ids[1:]])[-1] == []


def test_what_begins_as_a_line_goes_on_as_the_line_once_a_word_says_something(
    bundle: Bundle, renderer: PromptRenderer
) -> None:
    given = copying(bundle, renderer, [Turn("person", "I make shoes. I have a dog.")])
    make, hats, by, hand = (
        tokens(renderer, f" {word}")[0] for word in ["make", "hats", "by", "hand"]
    )
    (have,) = tokens(renderer, " have")
    (i,) = tokens(renderer, " i")
    assert said(given, [i, make, hats, by, hand])[1:] == [[hats], [by], [hand], [period(renderer)]]
    assert said(given, [i, have])[-1] == []  # which everybody says of everything
    assert said(given, [period(renderer), i, make]) == [[], [], [hats]]
    assert said(given, [period(renderer), make])[-1] == []  # of another sentence
    assert said(given, [period(renderer), i, have, make, hats])[-2:] == [[], []]
    # After a joint a clause begins anew.
    (comma,), (so,) = tokens(renderer, ",")[-1:], tokens(renderer, " so")
    assert said(given, [period(renderer), i, have, comma, i, make, hats])[-2:] == [[hats], [by]]
    assert said(given, [period(renderer), so, i, make])[-1] == [hats]


@pytest.mark.parametrize("title", ["Mr.", "Mrs.", "Ms.", "Dr.", "St."])
def test_a_line_goes_on_after_the_full_stop_of_an_abbreviation(
    bundle: Bundle, renderer: PromptRenderer, title: str
) -> None:
    line = f"My cat, {title} Wermut, hates boats."
    prompt = renderer.render([line, "I make hats."], [], reserve=8)
    vocabulary = Vocabulary.of(renderer.tokenizer)
    given = Copying(prompt.ids, vocabulary, bundle.special_tokens, share=0.8)
    ids = list(renderer.encode(line))
    copies = said(given, ids)
    assert all(after in options for after, options in zip(ids[2:], copies[1:], strict=False))
    assert copies[-1] == []  # where the line ends
    # The sentence after it begins anew.
    i, make, hats = (tokens(renderer, f" {word}")[0] for word in ["i", "make", "hats"])
    assert said(given, [i, make])[-1] == [hats]


def test_nobody_is_asked_what_the_persona_says_of_the_one_who_asks(
    bundle: Bundle, renderer: PromptRenderer
) -> None:
    given = copying(bundle, renderer, [])
    make, hats = (tokens(renderer, f" {word}")[0] for word in ["make", "hats"])
    (do,), (you,), (i,) = (tokens(renderer, f" {word}") for word in ["do", "you", "i"])
    assert said(given, [do, you, make, hats])[-2:] == [[], []]
    # The next sentence is a statement again.
    assert said(given, [period(renderer), i, make])[-1] == [hats]


def period(renderer: PromptRenderer) -> int:
    return tokens(renderer, " hand.")[-1]


def test_what_only_the_character_said_may_be_misspelt(
    bundle: Bundle, renderer: PromptRenderer
) -> None:
    turns = [Turn("person", "Hi!"), Turn("bot", "I am Kazimirox."), Turn("person", "Who?")]
    given = copying(bundle, renderer, turns)
    assert said(given, tokens(renderer, " kazimirox"))[0] == []


LOGITS, IDS = np.array([[5.0, 4.0, 3.0, 0.0]], np.float32), np.arange(10, 14)[None, :]


def drawn(share: float, *tokens: int) -> list[int]:
    """What eleven even numbers draw where `tokens` go on with what was said."""
    sampler = Sampler(rows=1, vocab_size=32, candidates=4)
    sampler.start(0, SamplingParams(temperature=1, repetition_penalty=1, top_p=1), ())
    sampler.copy(0, Copies(tokens, share))
    return [int(sampler.sample(LOGITS, IDS, [n / 11])[0]) for n in range(11)]


def test_so_often_as_it_is_wished_a_token_is_copied() -> None:
    assert drawn(0.8, 20).count(20) == 9
    assert set(drawn(1.0, 20)) == {20}
    assert drawn(0.5, 20, 21).count(21) == 3
    # What is not copied is drawn as it would be.
    others = [token for token in drawn(0.5, 20) if token != 20]
    assert others == sorted(others)
    assert set(others) <= set(IDS[0].tolist())


def test_a_word_goes_on_only_where_the_model_goes_on_with_it() -> None:
    def drawn_after(best: int) -> int:
        sampler = Sampler(rows=1, vocab_size=32, candidates=4, inner=[11, 20])
        sampler.start(0, SamplingParams(temperature=0, repetition_penalty=1), ())
        sampler.copy(0, Copies([20], 1.0, if_inner=True))
        ids = np.array([[best, 12, 13, 14]])
        return int(sampler.sample(LOGITS, ids, [0.5])[0])

    assert drawn_after(11) == 20  # "toas" goes on as "toaster"
    assert drawn_after(10) == 10  # "to" was the whole word


def test_what_cannot_come_is_not_copied() -> None:
    sampler = Sampler(rows=1, vocab_size=32, candidates=4, never=[20])
    sampler.start(0, SamplingParams(temperature=0, repetition_penalty=1), ())
    sampler.copy(0, Copies([20], 1.0))
    assert sampler.sample(LOGITS, IDS, [0.5]).tolist() == [10]


def test_copies_go_along_when_a_reply_moves_and_end_with_it() -> None:
    sampler = Sampler(rows=2, vocab_size=32, candidates=4)
    always = SamplingParams(temperature=0, repetition_penalty=1)
    for row in (0, 1):
        sampler.start(row, always, ())
    sampler.copy(1, Copies([20], 1.0))
    sampler.move(1, 0)
    assert sampler.sample(LOGITS, IDS, [0.5]).tolist() == [20]
    assert sampler.sample(LOGITS, IDS, [0.5], 1).tolist() == [10]
    sampler.copy(0, NO_COPIES)
    assert sampler.sample(LOGITS, IDS, [0.5]).tolist() == [10]
    sampler.copy(0, Copies([20], 1.0))
    sampler.start(0, always, ())
    assert sampler.sample(LOGITS, IDS, [0.5]).tolist() == [10]


def test_a_copied_token_that_is_no_candidate_counts_as_the_least_likely() -> None:
    nats = [float(log_likelihoods(LOGITS, IDS, np.array([token]))[0]) for token in (10, 13, 20)]
    assert nats[0] > nats[1] == nats[2]
