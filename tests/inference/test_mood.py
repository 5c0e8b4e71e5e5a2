"""Replies are in tune with good and bad news."""

from __future__ import annotations

import pytest

from inference.engine import Delta, Engine
from inference.mood import CHEERFUL, SORRY, out_of_tune
from inference.params import SamplingParams
from inference.prompt import Turn

BAD = [
    "My dog died yesterday.",
    "Hi! I failed my exam.",
    "my mother is in the hospital",
    "I can't sleep.",
    "I have a headache.",
    "we broke up, I am so sad",
]
GOOD = ["I got promoted today!", "We are having a baby!", "I passed my test.", "It's my birthday!"]
NEITHER = [
    "Hello!",
    "are you sad?",
    "I am not sad.",
    "Is it my birthday?",
    "I like tea.",
    "I work in a hospital.",
    "He died in the last chapter.",
    "I was sick on my birthday.",
    "",
]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        *((text, CHEERFUL) for text in BAD),
        *((text, SORRY) for text in GOOD),
        *((text, frozenset[str]()) for text in NEITHER),
    ],
)
def test_what_is_out_of_tune_follows_from_the_news(message: str, words: frozenset[str]) -> None:
    assert out_of_tune(message) == words


async def test_nobody_hears_how_nice_their_bad_news_is(engine: Engine) -> None:
    for seed in range(12):
        params = SamplingParams(max_tokens=24, seed=seed, copying=0.8, temperature=1.0)
        events = engine.generate(["I like cats."], [Turn("person", BAD[0])], params)
        reply = "".join([e.text async for e in events if isinstance(e, Delta)]).lower()
        said = set(reply.replace("!", " ").replace(".", " ").replace(",", " ").split())
        assert said.isdisjoint(CHEERFUL), reply
