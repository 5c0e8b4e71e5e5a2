"""Replies are in tune with good and bad news, and neither greet again nor take leave first."""

from __future__ import annotations

import pytest

from inference.engine import Delta, Engine
from inference.params import SamplingParams
from inference.persona.tact import (
    CHEERFUL,
    GREETING,
    LEAVING,
    MACHINE,
    NAME,
    NAMED,
    REAL,
    REGRET,
    SMALL_TALK,
    SORRY,
    out_of_place,
)
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
    found = out_of_place([Turn("person", message)])
    assert [kind for kind in found if kind in (CHEERFUL, SORRY)] == ([words] if words else [])


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (["I'm sad.", "Because my friend moved away."], CHEERFUL),
        (["My boyfriend broke up with me.", "We were together for 3 years."], CHEERFUL),
        (["My dog died.", "But I got promoted today!"], SORRY),
        (["I was so sad.", "I feel much better now."], SORRY),
        (["My dog died.", "He was nine.", "Do you like dogs?"], None),
        (["Are you sad?", "My friend moved away."], None),
        (["I got promoted!", "It took ten years."], None),
        (["I was sick on my birthday.", "It was on a Monday."], None),
        (
            ["My wife left me.", "We have two kids.", "They live with her.", "On weekends."],
            CHEERFUL,
        ),
        (["I got promoted!", "It took ten years.", "My dog died.", "He was nine."], CHEERFUL),
    ],
)
def test_bad_news_last_for_another_message(
    messages: list[str], words: frozenset[str] | None
) -> None:
    turns = [t for text in messages for t in (Turn("person", text), Turn("bot", "I see."))][:-1]
    found = [kind for kind in out_of_place(turns) if kind in (CHEERFUL, SORRY)]
    assert found == ([words] if words else [])


def test_who_tells_of_trouble_is_not_asked_for_hobbies() -> None:
    assert SMALL_TALK in out_of_place([Turn("person", "My dog died.")])
    assert SMALL_TALK not in out_of_place([Turn("person", "I like dogs.")])


@pytest.mark.parametrize(
    ("messages", "persona", "kinds"),
    [
        (["Are you smart?"], [], {MACHINE, REAL}),
        (["What are you doing?"], [], {MACHINE, REAL}),
        (["What are you?"], [], set()),
        (["Are you human?", "Tell me!"], [], set()),
        (["Are you a bot?", "Tell me!", "What do you eat?"], [], {MACHINE, REAL}),
        (["I write software.", "And what do you do?"], [], set()),
        (["Are you smart?"], ["I build robots that pick strawberries."], {REAL}),
        (["Are you smart?"], ["A real chicken once followed me."], {MACHINE}),
    ],
)
def test_nobody_speaks_of_programs_who_has_no_reason_to(
    messages: list[str], persona: list[str], kinds: set[frozenset[str]]
) -> None:
    found = out_of_place([Turn("person", message) for message in messages], persona)
    assert {kind for kind in found if kind in (MACHINE, REAL)} == kinds


@pytest.mark.parametrize(
    ("message", "persona", "kinds"),
    [
        ("I have a dog too, his name is Rex", [], [NAME, NAMED]),
        ("I have two, their names are Tom and Anna.", [], [NAME, NAMED]),
        ("My horse is called Thunder", [], [NAME, NAMED]),
        ("We have a cat named Luna.", ["I have a cat named Olga."], [NAME]),
        ("I have a cat named Luna, what is yours called?", [], []),
        ("my cat is named Luna, and yours", [], []),
        ("my cat is named Luna, what about you", [], []),
        ("guess what my dog is called", [], []),
        ("what is his name", [], []),
        ("My name is Anna.", [], []),
        ("I am called Anna.", [], []),
        ("I have a cat.", [], []),
    ],
)
def test_nobody_asks_for_the_name_that_they_were_told(
    message: str, persona: list[str], kinds: list[frozenset[str]]
) -> None:
    found = out_of_place([Turn("person", message)], persona)
    assert [kind for kind in found if kind in (NAME, NAMED)] == kinds


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


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([BAD[0]], CHEERFUL),
        (["We broke up.", "He left with another woman."], CHEERFUL),
        (["Are you smart?"], MACHINE | REAL),
        (["I have a dog, his name is Rex."], NAME | NAMED),
    ],
)
async def test_what_is_out_of_place_is_not_said(
    engine: Engine, messages: list[str], words: frozenset[str]
) -> None:
    turns = [Turn("person", message) for message in messages]
    for seed in range(12):
        params = SamplingParams(max_tokens=24, seed=seed, copying=0.8, temperature=1.0)
        events = engine.generate(["I like cats."], turns, params)
        reply = "".join([e.text async for e in events if isinstance(e, Delta)]).lower()
        said = set(reply.replace("!", " ").replace(".", " ").replace(",", " ").split())
        assert said.isdisjoint(words), reply
