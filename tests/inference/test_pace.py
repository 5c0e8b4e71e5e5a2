"""How fast replies are written, and told, while many people are being answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy.typing as npt
import pytest

from inference.bundle import Bundle
from inference.engine import Delta, Engine
from inference.pace import Pace
from inference.params import EngineConfig, SamplingParams
from inference.prompt import Turn
from inference.runner import TopK
from tests.inference.conftest import DEFAULT_BUNDLE, PERSONA
from tests.inference.history_runner import HistoryRunner

LONG = SamplingParams(max_tokens=400, temperature=1, seed=3)


class Endless(HistoryRunner):
    ends = 0


async def pieces(engine: Engine, text: str, params: SamplingParams = LONG) -> list[Delta]:
    events = engine.generate(PERSONA, [Turn("person", text)], params)
    return [event async for event in events if isinstance(event, Delta)]


async def being_answered(engine: Engine) -> asyncio.Task[list[Delta]]:
    """A reply of which some tokens are written."""
    reply = asyncio.create_task(pieces(engine, "One"))
    while engine.stats().totals.tokens < 10:
        await asyncio.sleep(0)
    return reply


def gap(pace: Pace, now: float, free: float = 1) -> float:
    return pace.gap(now, free, 0.0)


def test_a_step_waits_the_longer_the_more_people_come_and_for_a_lone_chat_never() -> None:
    pace = Pace(50)
    assert gap(pace, 0.0) == 0
    for number in range(10):
        pace.met(number / 10)
    few = gap(pace, 1.0)
    for number in range(1000):
        pace.met(1 + number / 1000)
    assert 0 < few < gap(pace, 2.0) == 1 / 50
    assert gap(pace, 20.0) < few


def test_where_slots_are_wanted_no_step_waits() -> None:
    pace = Pace(50)
    for number in range(1000):
        pace.met(number / 1000)
    assert gap(pace, 1.0) > gap(pace, 1.0, free=0.25) > gap(pace, 1.0, free=0) == 0


def test_with_no_such_limit_no_step_waits_but_for_prompts() -> None:
    pace = Pace(0)
    pace.met(0.0)
    assert gap(pace, 0.0) == 0
    assert 0 < pace.gap(0.0, 0, 0.002) < pace.gap(0.0, 0, 0.004) < pace.gap(0.0, 0, 60.0) < 1


async def test_while_a_step_waits_prompts_are_run_and_leaving_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("inference.pace.WAIT_FOR_EACH", 600.0)
    prompts = threading.Semaphore(0)

    class Noted(Endless):
        def prefill(self, slot: int, token_ids: Sequence[int], past: int) -> TopK:
            prompts.release()
            return super().prefill(slot, token_ids, past)

    config = EngineConfig(DEFAULT_BUNDLE, tokens_per_second=1 / 600)
    engine = Engine(config, runner_factory=Noted)
    first = await being_answered(engine)
    # Whoever meets somebody makes the next step wait for more people.
    others = [asyncio.create_task(pieces(engine, text)) for text in ("Two", "Three")]
    for _ in (first, *others):
        assert await asyncio.to_thread(prompts.acquire, timeout=30)
    written = engine.stats().totals.tokens
    await asyncio.sleep(0.05)
    assert engine.stats().totals.tokens <= written + 2  # how the two begin
    assert not first.done()
    first.cancel()
    async with asyncio.timeout(30):
        while engine.stats().running > 2:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(engine.close)


class Slow(Endless):
    def decode(self, token_ids: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> TopK:
        time.sleep(0.001)
        return super().decode(token_ids, lengths)


class Held(Slow):
    """Every prompt but the first waits until it is let go."""

    def __init__(self, bundle: Bundle, *, slots: int, threads: int) -> None:
        super().__init__(bundle, slots=slots, threads=threads)
        self.is_first = True
        self.let_go = threading.Event()

    def prefill(self, slot: int, token_ids: Sequence[int], past: int) -> TopK:
        if not self.is_first:
            self.let_go.wait(30)
        self.is_first = False
        return super().prefill(slot, token_ids, past)


@asynccontextmanager
async def one_and_a_prompt() -> AsyncIterator[tuple[Engine, asyncio.Task[list[Delta]]]]:
    """A reply that is being written, and another whose prompt does not end."""
    runners: list[Held] = []

    def factory(bundle: Bundle, *, slots: int, threads: int) -> Held:
        runners.append(Held(bundle, slots=slots, threads=threads))
        return runners[-1]

    engine = Engine(EngineConfig(DEFAULT_BUNDLE), runner_factory=factory)
    first = await being_answered(engine)
    second = asyncio.create_task(pieces(engine, "Two"))
    try:
        async with asyncio.timeout(30):
            while engine.stats().running < 2:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            yield engine, first
            runners[0].let_go.set()
            one, two = await first, await second
            assert sum(delta.tokens for delta in one) == sum(delta.tokens for delta in two) > 100
    finally:
        runners[0].let_go.set()
        await asyncio.to_thread(engine.close)


async def test_a_step_waits_for_who_is_about_to_join_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.pace.STEPS_BESIDE_PROMPTS", 1e6)
    monkeypatch.setattr("inference.pace.LONGEST_BESIDE_PROMPTS", 600.0)
    async with one_and_a_prompt() as (engine, first):
        written = engine.stats().totals.tokens
        await asyncio.sleep(0.05)
        assert engine.stats().totals.tokens == written
        assert not first.done()


async def test_a_long_prompt_does_not_hold_up_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.pace.STEPS_BESIDE_PROMPTS", 2)
    async with one_and_a_prompt() as (_, first):
        assert sum(delta.tokens for delta in await first) > 100


async def test_a_reply_begins_as_soon_as_its_prompt_is_in_though_steps_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("inference.pace.WAIT_FOR_EACH", 600.0)
    config = EngineConfig(DEFAULT_BUNDLE, tokens_per_second=1 / 600)
    engine = Engine(config, runner_factory=Slow)
    first = await being_answered(engine)
    async with asyncio.timeout(30):
        assert await pieces(engine, "Two", SamplingParams(max_tokens=1))
        assert not first.done()
        first.cancel()
        await asyncio.to_thread(engine.close)


async def test_of_many_replies_at_once_several_tokens_come_together() -> None:
    engine = Engine(EngineConfig(DEFAULT_BUNDLE), runner_factory=Endless)
    params = SamplingParams(max_tokens=100, temperature=1, seed=3)
    replies = await asyncio.gather(*(pieces(engine, f"I am {n}.", params) for n in range(16)))
    engine.close()
    for reply in replies:
        assert sum(delta.tokens for delta in reply) == 100
        assert len(reply) < 50
