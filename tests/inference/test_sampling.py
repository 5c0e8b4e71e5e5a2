"""How tokens are drawn from the candidates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.copying import Copies
from inference.params import EngineConfig, SamplingParams
from inference.prompt import PromptRenderer
from inference.repetition import Echo
from inference.sampling import Sampler
from inference.vocabulary import Vocabulary

STOP, BANNED = 3, 4
LOGITS = np.array([[5.0, 4.5, 4.0, 3.5, 3.0, 2.0, 1.0, 0.0]], np.float32)
IDS = np.arange(10, 18)[None, :]


def sampler(rows: int = 1) -> Sampler:
    return Sampler(rows=rows, vocab_size=32, candidates=8, never=[BANNED], not_first=[STOP])


def draw(
    params: SamplingParams, *, ids: Any = IDS, said: tuple[int, ...] = (), draws: int = 300
) -> list[int]:
    """First tokens of many replies, each from its own number."""
    drawn = []
    for uniform in np.linspace(0, 0.999, draws):
        one = sampler()
        one.start(0, params, said)
        drawn.append(int(one.sample(LOGITS, ids, [uniform])[0]))
    return drawn


def test_temperature_zero_takes_the_most_probable() -> None:
    assert set(draw(SamplingParams(temperature=0, top_k=8, top_p=1.0))) == {10}


def test_top_k_keeps_so_many() -> None:
    drawn = draw(SamplingParams(temperature=5, top_k=3, top_p=1.0, repetition_penalty=1))
    assert set(drawn) == {10, 11, 12}


def test_top_p_keeps_the_smallest_set_with_that_probability() -> None:
    weights = np.exp(LOGITS[0] - LOGITS[0].max())
    share = np.cumsum(weights / weights.sum())
    wanted = int(np.searchsorted(share, 0.75)) + 1
    drawn = draw(SamplingParams(temperature=1, top_k=8, top_p=0.75, repetition_penalty=1))
    assert set(drawn) == set(range(10, 10 + wanted))


def test_draws_follow_the_probabilities() -> None:
    drawn = draw(
        SamplingParams(temperature=1, top_k=8, top_p=1.0, repetition_penalty=1), draws=2000
    )
    weights = np.exp(LOGITS[0])
    for token, share in zip(IDS[0], weights / weights.sum(), strict=True):
        assert math.isclose(drawn.count(token) / 2000, share, abs_tol=0.002)


def test_what_was_said_becomes_less_probable() -> None:
    loose = SamplingParams(temperature=1, top_k=8, top_p=1.0, repetition_penalty=1)
    strict = SamplingParams(temperature=1, top_k=8, top_p=1.0, repetition_penalty=1.5)
    assert draw(strict, said=(10,)).count(10) < draw(loose, said=(10,)).count(10)
    assert draw(strict) == draw(loose)


def test_what_has_to_be_said_again_is_spared(renderer: PromptRenderer) -> None:
    vocabulary = Vocabulary.of(renderer.tokenizer)
    spared = {str(vocabulary.pieces[token]) for token in vocabulary.spared}
    assert {" the", " i", " you", ".", "?", "'m", " not"} <= spared
    assert not {" dog", " music", " favorite"} & spared
    strict = SamplingParams(temperature=1, top_k=8, top_p=1.0, repetition_penalty=3)
    for tokens, again in (((10,), True), ((), False)):
        one = Sampler(rows=1, vocab_size=32, candidates=8, spared=tokens)
        one.start(0, strict, [10])
        first = one.sample(LOGITS, IDS, [0.3])
        one.said(first)
        drawn = [int(first[0]), int(one.sample(LOGITS, IDS, [0.3])[0])]
        assert (drawn == [10, 10]) is again


PIECES = ["<other>", "", *[".", "?", "i", "am", "vegan", "do", "you", "like", "any", "pets", "how"]]
MARK = 1


def again(echo: Echo, text: str) -> list[str]:
    """What must not follow each word."""
    return [" ".join(PIECES[t] for t in echo.add(PIECES.index(word))) for word in text.split()]


def echo_of(*said: str) -> Echo:
    turns = [(MARK, *(PIECES.index(word) for word in turn.split())) for turn in said]
    return Echo(turns, MARK, Vocabulary(PIECES))


def test_a_statement_is_not_made_twice_but_its_beginning_can_be() -> None:
    assert again(echo_of("i am vegan", "do you like"), "i am") == ["", "vegan"]
    assert again(echo_of("do you like"), "do you like") == ["", "", ""]
    stutter = echo_of()
    assert again(stutter, "i am vegan i am") == [""] * 5
    assert again(stutter, "vegan i am") == ["", "", "vegan"]


def test_a_question_is_not_asked_twice() -> None:
    asked = "do you like any pets ?"
    assert again(echo_of(asked), "do you like") == ["", "", "any"]
    assert again(echo_of(asked, "i am vegan"), ". do you like") == ["", "", "", "any"]
    assert again(echo_of(), f"{asked} do you like")[-1] == "any"
    assert again(echo_of(asked), "i do you like")[-1] == ""  # no beginning of a question
    assert again(echo_of("do you like any pets ."), "do you like")[-1] == ""
    assert again(echo_of("how am i ?"), "how am") == ["", "i"]
    assert again(echo_of("you am ?"), "you")[-1] == ""  # "and you?"


def test_no_third_question_begins_like_two_others() -> None:
    asked = ("do you like any pets ?", "do you like pets ?")
    assert again(echo_of(*asked), "do you") == ["you", ""]
    assert again(echo_of(asked[0]), "do you") == ["", ""]
    assert again(echo_of(*asked), "i do")[-1] == ""


def test_what_is_blocked_cannot_come_until_it_is_unblocked() -> None:
    one = sampler()
    one.start(0, SamplingParams(temperature=0, repetition_penalty=1), ())
    one.block(0, [10])
    assert one.sample(LOGITS, IDS, [0.5])[0] == 11
    one.unblock(0, [10])
    assert one.sample(LOGITS, IDS, [0.5])[0] == 10
    # What is never drawn is not either: a character's turns may have it that were not its own.
    one.block(0, [BANNED])
    one.unblock(0, [BANNED])
    assert one.sample(LOGITS, np.array([[BANNED, *range(11, 18)]]), [0.5])[0] == 11


def test_of_what_was_blocked_only_content_counts_as_said() -> None:
    strict = SamplingParams(temperature=0, repetition_penalty=3)
    for spared, wanted in (((10,), 10), ((), 11)):
        one = Sampler(rows=1, vocab_size=32, candidates=8, spared=spared)
        one.start(0, strict, ())
        one.block(0, [10])
        one.unblock(0, [10])
        assert one.sample(LOGITS, IDS, [0.5])[0] == wanted


def test_what_does_not_fit_is_drawn_again() -> None:
    one = sampler()
    one.start(0, SamplingParams(temperature=0, repetition_penalty=1), ())
    assert one.resample(LOGITS, IDS, 0.5, 0, lambda token: token > 12) == 13
    assert one.resample(LOGITS, IDS, 0.5, 0, lambda token: token > 20) is None
    assert one.sample(LOGITS, IDS, [0.5])[0] == 10
    # Neither what would have been copied nor what is blocked comes instead.
    one.copy(0, Copies([10], 1.0))
    one.block(0, [13])
    assert one.resample(LOGITS, IDS, 0.5, 0, lambda token: token > 12) == 14
    assert one.resample(LOGITS, IDS, 0.5, 0, lambda token: token == 13) is None


def test_control_tokens_are_never_drawn_and_a_reply_never_starts_with_its_end() -> None:
    ids = np.array([[STOP, BANNED, *range(12, 18)]])
    drawn = draw(SamplingParams(temperature=2, top_k=8, top_p=1.0), ids=ids)
    assert not {STOP, BANNED} & set(drawn)
    begun = sampler()
    begun.start(0, SamplingParams(temperature=0, top_k=8), ())
    begun.begun(0)
    assert begun.sample(LOGITS, ids, [0.5])[0] == STOP


def test_rows_have_their_own_settings_and_keep_them_when_they_move() -> None:
    both = sampler(rows=3)
    both.start(0, SamplingParams(temperature=0, top_k=1), ())
    both.start(2, SamplingParams(temperature=5, top_k=8, top_p=1.0, repetition_penalty=1), ())
    both.move(2, 1)
    tokens = both.sample(np.repeat(LOGITS, 2, 0), np.repeat(IDS, 2, 0), [0.99, 0.99])
    assert tokens.tolist() == [10, 17]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", True),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        pytest.param("temperature", 10**400, id="more than a float can be"),
        ("top_k", 65),
        ("top_k", 1.5),
        ("top_p", 0),
        ("top_p", 1.01),
        ("repetition_penalty", 0.9),
        ("seed", -1),
        ("seed", "x"),
    ],
)
def test_wrong_values_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} must be") as refusal:
        SamplingParams(**{field: value})  # type: ignore[arg-type]
    assert repr(value) in str(refusal.value)


def test_wrong_engine_settings_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="max_batch must be a whole number from 1 to 1024, not 0"):
        EngineConfig(Path(), max_batch=0)
