"""Several replies to one message: the best is given, and nobody else notices."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from inference.bundle import Bundle
from inference.engine import Delta, Engine, Event, Finished, Queued
from inference.errors import EngineBusy
from inference.params import EngineConfig, SamplingParams
from inference.prompt import Turn
from inference.runner import TopK
from tests.inference.conftest import DEFAULT_BUNDLE, PERSONA, until_idle
from tests.inference.history_runner import HeldRunner, HistoryRunner

HELLO = [Turn("person", "Hello! Do you have any pets?")]
BEST = SamplingParams(max_tokens=20, temperature=1.2, top_k=40, seed=7, candidates=4)


async def collect(
    engine: Engine, params: SamplingParams, turns: list[Turn] = HELLO, key: str | None = None
) -> list[Event]:
    return [event async for event in engine.generate(PERSONA, turns, params, cache_key=key)]


def told(events: list[Event]) -> tuple[Delta, Finished]:
    """The one piece of text and the end that there must be."""
    delta, finished = (event for event in events if not isinstance(event, Queued))
    assert isinstance(delta, Delta)
    assert isinstance(finished, Finished)
    return delta, finished


async def text_of(engine: Engine, params: SamplingParams, turns: list[Turn] = HELLO) -> str:
    events = await collect(engine, params, turns)
    return "".join(event.text for event in events if isinstance(event, Delta))


async def test_the_best_comes_whole_and_all_that_was_written_is_counted(engine: Engine) -> None:
    before = engine.stats().totals.tokens
    delta, finished = told(await collect(engine, BEST))
    assert delta.text.strip() == delta.text != ""
    assert delta.tokens < finished.completion_tokens <= 4 * 20
    assert engine.stats().totals.tokens - before == finished.completion_tokens
    assert finished.sampling == BEST
    assert finished.reason in {"end", "length"}


async def test_the_same_seed_gives_the_same_reply_whoever_else_talks(engine: Engine) -> None:
    alone = [await text_of(engine, replace(BEST, seed=seed)) for seed in range(6)]
    assert len(set(alone)) > 1
    crowd = [
        text_of(engine, replace(BEST, seed=seed, candidates=1 + seed % 3)) for seed in range(20, 26)
    ]
    wanted = [text_of(engine, replace(BEST, seed=seed)) for seed in range(6)]
    tasks = [task for pair in zip(crowd, wanted, strict=True) for task in pair]
    # No more than the line takes.
    first = await asyncio.gather(*tasks[:6])
    rest = await asyncio.gather(*tasks[6:])
    assert [*first, *rest][1::2] == alone


async def test_what_was_said_before_and_what_is_false_is_not_chosen(engine: Engine) -> None:
    """Of eight replies one is found that neither repeats the last turn nor denies the cat."""
    said = await text_of(engine, replace(BEST, candidates=1, temperature=0))
    turns = [*HELLO, Turn("bot", said), *HELLO]
    for seed in range(5):
        params = replace(BEST, seed=seed, candidates=8, repetition_penalty=1.0, temperature=0.7)
        reply = (await text_of(engine, params, turns)).lower()
        assert reply != said.lower()
        assert "i don't have any pets" not in reply


async def test_there_are_never_more_than_the_engine_has_slots() -> None:
    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=2), runner_factory=HistoryRunner)
    two = await text_of(engine, replace(BEST, candidates=2))
    assert await text_of(engine, replace(BEST, candidates=8)) == two
    engine.close()


async def test_a_limit_of_one_token(engine: Engine) -> None:
    delta, finished = told(await collect(engine, replace(BEST, max_tokens=1)))
    assert (delta.tokens, finished.completion_tokens, finished.reason) == (1, 4, "length")


async def test_leaving_frees_all_slots() -> None:
    go_on = threading.Event()
    config = EngineConfig(DEFAULT_BUNDLE, max_batch=4)
    engine = Engine(config, runner_factory=partial(HeldRunner, go_on=go_on))
    endless = replace(BEST, max_tokens=400)
    async with aclosing(engine.generate(PERSONA, HELLO, endless, cache_key="left")) as events:
        leaving = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(10):
            while engine.stats().totals.tokens < 40:
                await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.wait([leaving])
    go_on.set()
    await until_idle(engine)
    left = engine.stats()
    assert left.totals.abandoned == 1
    delta, finished = told(await collect(engine, BEST))
    assert (delta.tokens, finished.completion_tokens) == (20, 80)
    # Nobody went on writing to somebody who has left.
    assert engine.stats().totals.tokens - left.totals.tokens == 80
    engine.close()


async def test_who_needs_several_slots_is_not_overtaken() -> None:
    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=4), runner_factory=HistoryRunner)
    admitted: list[str] = []

    async def ask(name: str, candidates: int) -> None:
        params = replace(BEST, max_tokens=30, candidates=candidates)
        [*_, finished] = await collect(engine, params)
        assert isinstance(finished, Finished)
        admitted.append(name)

    narrow = [ask(f"before {number}", 1) for number in range(3)]
    late = [ask(f"after {number}", 1) for number in range(40)]
    tasks = [asyncio.ensure_future(task) for task in (*narrow, ask("wide", 4), *late)]
    await asyncio.gather(*tasks)
    assert {*admitted[: admitted.index("wide")]} <= {"before 0", "before 1", "before 2"}
    engine.close()


async def test_a_place_in_line_counts_those_who_wait() -> None:
    """Of requests for four replies each, four slots answer one at a time."""
    go_on = threading.Event()
    config = EngineConfig(DEFAULT_BUNDLE, max_batch=4, max_queue=2)
    engine = Engine(config, runner_factory=partial(HeldRunner, go_on=go_on))
    asked = [asyncio.create_task(collect(engine, BEST)) for _ in range(6)]
    async with asyncio.timeout(10):
        while engine.stats().running + engine.stats().waiting < 6:
            await asyncio.sleep(0.01)
    with pytest.raises(EngineBusy, match="5 requests are waiting already") as refusal:
        await collect(engine, BEST)
    assert refusal.value.position == 6
    go_on.set()
    places = [event for events in await asyncio.gather(*asked) for event in events]
    assert max(event.position for event in places if isinstance(event, Queued)) == 5
    engine.close()


async def test_chats_beside_a_contest_keep_their_slots_apart() -> None:
    """The runner's next token depends on all of a slot's history."""
    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=6), runner_factory=HistoryRunner)
    asks = [replace(BEST, max_tokens=30, seed=n, candidates=1 + n % 5) for n in range(30)]
    alone = [await text_of(engine, params) for params in asks]
    assert await asyncio.gather(*(text_of(engine, params) for params in asks)) == alone
    engine.close()


async def test_the_next_turn_costs_what_is_new(engine: Engine) -> None:
    first, _ = told(await collect(engine, BEST, key="best of four"))
    turns = [*HELLO, Turn("bot", first.text), Turn("person", "And then?")]
    again, finished = told(await collect(engine, BEST, turns, key="best of four"))
    assert finished.reused_tokens > finished.prompt_tokens // 2
    assert again.text == await text_of(engine, BEST, turns)


class Scored(HistoryRunner):
    """With a second head that likes tokens with high numbers, and notes what it was asked."""

    def __init__(self, bundle: Bundle, *, slots: int, threads: int) -> None:
        super().__init__(bundle, slots=slots, threads=threads)
        self.scores = self.choice_scores = np.zeros(slots, np.float32)
        self.asked: list[tuple[int, float]] = []

    def decode(self, token_ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> TopK:
        top = super().decode(token_ids, lengths)
        for row, length in enumerate(lengths):
            history = self._cells[row, : length + 1]
            self.scores[row] = history[:-1].max()
            if history[-1] == self._stop:
                self.asked.append((int(length), float(self.scores[row])))
        return top


async def test_the_second_head_is_asked_once_for_each_reply_and_decides() -> None:
    runners: list[Scored] = []

    def make(bundle: Bundle, *, slots: int, threads: int) -> Scored:
        runners.append(Scored(bundle, slots=slots, threads=threads))
        return runners[-1]

    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=4), runner_factory=make)
    for seed in range(5):
        engine.load()
        runners[-1].asked.clear()
        _, finished = told(await collect(engine, replace(BEST, max_tokens=12, seed=seed), key="k"))
        asked = runners[-1].asked
        assert len(asked) == 4
        lengths = [length - finished.prompt_tokens for length, _ in asked]
        assert sum(lengths) == finished.completion_tokens
        # What is kept for the next turn is the winner's, up to the token that ended it.
        kept = engine.stats().kv_cache_bytes // 8 - finished.prompt_tokens - 1
        assert kept == lengths[int(np.argmax([score for _, score in asked]))]
    engine.close()


@pytest.mark.parametrize("value", [0, 9, 2.0, True])
def test_a_wrong_number_is_refused(value: int) -> None:
    with pytest.raises(
        ValueError, match=f"candidates must be a whole number from 1 to 8, not {value}"
    ):
        SamplingParams(candidates=value)


def test_a_bundle_may_recommend_a_number() -> None:
    assert SamplingParams.recommended({"candidates": 3}).candidates == 3
    assert SamplingParams.recommended({"candidates": 3}, candidates=1).candidates == 1
    assert SamplingParams().candidates == 1
