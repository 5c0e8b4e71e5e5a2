"""How fast replies are written, and told, while many people are being answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

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


def test_a_step_waits_the_longer_the_more_people_come_and_for_a_lone_chat_never() -> None:
    pace = Pace(50)
    assert pace.gap(0.0, free=1) == 0
    for number in range(10):
        pace.met(number / 10)
    few = pace.gap(1.0, free=1)
    for number in range(1000):
        pace.met(1 + number / 1000)
    assert 0 < few < pace.gap(2.0, free=1) == 1 / 50
    assert pace.gap(20.0, free=1) < few


def test_where_slots_are_wanted_no_step_waits() -> None:
    pace = Pace(50)
    for number in range(1000):
        pace.met(number / 1000)
    assert pace.gap(1.0, free=1) > pace.gap(1.0, free=0.25) > pace.gap(1.0, free=0) == 0


def test_with_no_such_limit_no_step_waits() -> None:
    pace = Pace(0)
    pace.met(0.0)
    assert pace.gap(0.0, free=1) == 0


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
    first = asyncio.create_task(pieces(engine, "One"))
    while engine.stats().totals.tokens < 10:
        await asyncio.sleep(0)
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


async def test_of_many_replies_at_once_several_tokens_come_together() -> None:
    engine = Engine(EngineConfig(DEFAULT_BUNDLE), runner_factory=Endless)
    params = SamplingParams(max_tokens=100, temperature=1, seed=3)
    replies = await asyncio.gather(*(pieces(engine, f"I am {n}.", params) for n in range(16)))
    engine.close()
    for reply in replies:
        assert sum(delta.tokens for delta in reply) == 100
        assert len(reply) < 50
