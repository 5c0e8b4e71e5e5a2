"""Replies are in tune with good and bad news, and neither greet again nor take leave first."""

from __future__ import annotations

import pytest

from inference.engine import Delta, Engine
from inference.params import SamplingParams
from inference.prompt import Turn
from inference.tact import CHEERFUL, GREETING, LEAVING, REGRET, SORRY, out_of_place

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
    found = out_of_place([Turn("person", message)])
    assert [kind for kind in found if kind in (CHEERFUL, SORRY)] == ([words] if words else [])


@pytest.mark.parametrize(
    ("messages", "is_out_of_place"),
    [
        (["you are funny."], True),
        (["I have three kids.", "They are great."], True),
        (["I have three kids.", "They fight all day."], False),
        (["My dog died.", "He was nine."], False),
        (["My dog died.", "He was nine.", "Do you like dogs?"], True),
        (["I don't want to talk about it."], False),
    ],
)
def test_regret_is_for_trouble_told_lately(messages: list[str], is_out_of_place: bool) -> None:
    found = out_of_place([Turn("person", message) for message in messages])
    assert (REGRET in found) is is_out_of_place


@pytest.mark.parametrize(
    ("message", "is_first", "kind", "is_out_of_place"),
    [
        ("I feel sad today.", False, GREETING, True),
        ("I feel sad today.", True, GREETING, False),
        ("Hey, are you there?", False, GREETING, False),
        ("ha ha, good one", False, LEAVING, True),
        ("I have to go now.", False, LEAVING, False),
        ("good night", False, LEAVING, False),
        ("Bye!", False, LEAVING, False),
    ],
)
def test_nobody_is_greeted_twice_or_left(
    message: str, is_first: bool, kind: frozenset[str], is_out_of_place: bool
) -> None:
    before = [] if is_first else [Turn("person", "Hi!"), Turn("bot", "Hello!")]
    assert (kind in out_of_place([*before, Turn("person", message)])) is is_out_of_place


async def test_nobody_hears_how_nice_their_bad_news_is(engine: Engine) -> None:
    for seed in range(12):
        params = SamplingParams(max_tokens=24, seed=seed, copying=0.8, temperature=1.0)
        events = engine.generate(["I like cats."], [Turn("person", BAD[0])], params)
        reply = "".join([e.text async for e in events if isinstance(e, Delta)]).lower()
        said = set(reply.replace("!", " ").replace(".", " ").replace(",", " ").split())
        assert said.isdisjoint(CHEERFUL), reply
