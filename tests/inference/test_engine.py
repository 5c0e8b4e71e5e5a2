"""The engine with the real model: streaming, batching, leaving, limits, crashes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.bundle import Bundle
from inference.engine import Delta, Engine, Finished, Queued
from inference.errors import BundleError, EngineBusy, EngineStopped, PromptTooLong
from inference.events import Event
from inference.params import EngineConfig, SamplingParams
from inference.prompt import Turn
from inference.runner import Runner
from tests.inference.conftest import DEFAULT_BUNDLE, PERSONA

HELLO = [Turn("person", "Hello! Tell me about your day.")]
PARAMS = SamplingParams(max_tokens=12, seed=5)
# Hardly ever ends by itself.
LONG = SamplingParams(max_tokens=400, temperature=3, top_k=64, top_p=1.0, seed=1)


async def collect(engine: Engine, params: SamplingParams = PARAMS, **options: Any) -> list[Event]:
    turns = options.pop("turns", HELLO)
    return [event async for event in engine.generate(PERSONA, turns, params, **options)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def until_idle(engine: Engine) -> None:
    while engine.stats().running or engine.stats().waiting:
        await asyncio.sleep(0.01)


async def test_a_reply_streams_and_says_how_it_came_about(engine: Engine) -> None:
    *deltas, finished = await collect(engine)
    assert isinstance(finished, Finished)
    assert all(isinstance(event, Delta) and event.text for event in deltas)
    assert text_of(deltas).strip() == text_of(deltas) != ""
    assert finished.completion_tokens <= 12
    assert finished.sampling == PARAMS
    assert 0 <= finished.queued_s <= finished.first_token_s
    assert finished.reason in {"end", "length"}


async def test_the_same_seed_gives_the_same_reply_and_another_one_another(engine: Engine) -> None:
    lively = replace(PARAMS, temperature=1.5, top_k=64, top_p=1.0)
    first, second = text_of(await collect(engine, lively)), text_of(await collect(engine, lively))
    others = {text_of(await collect(engine, replace(lively, seed=seed))) for seed in range(4)}
    assert first == second
    assert len(others) > 1


async def test_without_a_seed_the_one_drawn_is_told(engine: Engine) -> None:
    events = await collect(engine, replace(PARAMS, seed=None))
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.sampling.seed is not None
    assert text_of(await collect(engine, finished.sampling)) == text_of(events)


async def test_chats_beside_each_other_do_not_mix(engine: Engine) -> None:
    greedy = SamplingParams(max_tokens=10, temperature=0)
    questions = [[Turn("person", text)] for text in ("Hi!", "Any pets?", "Your job?", "Bye now.")]
    alone = [text_of(await collect(engine, greedy, turns=turns)) for turns in questions]
    tasks = [collect(engine, greedy, turns=turns) for turns in questions]
    together = [text_of(events) for events in await asyncio.gather(*tasks)]
    assert together == alone


async def test_a_reply_ends_at_its_token_limit(engine: Engine) -> None:
    finished = (await collect(engine, replace(LONG, max_tokens=7)))[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.completion_tokens) == ("length", 7)


async def test_no_control_token_is_ever_shown(engine: Engine, bundle: Bundle) -> None:
    for seed in range(6):
        text = text_of(await collect(engine, replace(LONG, max_tokens=60, seed=seed)))
        assert not any(mark in text for mark in ("<bot>", "<person>", "<persona>", "endoftext"))


async def test_leaving_frees_the_slot(engine: Engine) -> None:
    async with aclosing(engine.generate(PERSONA, HELLO, LONG)) as events:
        async for _ in events:
            break
    await asyncio.wait_for(until_idle(engine), 10)


async def test_a_full_line_is_refused_with_a_position(engine: Engine) -> None:
    running = [asyncio.create_task(collect(engine, LONG)) for _ in range(8)]
    while engine.stats().running + engine.stats().waiting < 8:
        await asyncio.sleep(0.01)
    with pytest.raises(EngineBusy) as refusal:
        await collect(engine)
    assert refusal.value.position == 5
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await asyncio.wait_for(until_idle(engine), 10)
    assert text_of(await collect(engine))


async def test_who_waits_is_told_the_place_in_line(engine: Engine) -> None:
    short = replace(LONG, max_tokens=20)
    everyone = await asyncio.gather(*(collect(engine, short) for _ in range(7)))
    places = [[e.position for e in events if isinstance(e, Queued)] for events in everyone]
    assert sorted(place[0] for place in places if place) == [1, 2, 3]
    assert all(place == sorted(place, reverse=True) for place in places)
    assert all(isinstance(events[-1], Finished) for events in everyone)


async def test_a_new_turn_costs_only_what_is_new(engine: Engine) -> None:
    before = engine.stats()
    greedy = SamplingParams(max_tokens=10, temperature=0)
    first = text_of(await collect(engine, greedy, cache_key="chat"))
    turns = [*HELLO, Turn("bot", first), Turn("person", "And then?")]
    again = await collect(engine, greedy, turns=turns, cache_key="chat")
    after = engine.stats()
    finished = again[-1]
    assert isinstance(finished, Finished)
    reused = after.reused_tokens_total - before.reused_tokens_total
    assert reused > finished.prompt_tokens // 2
    assert text_of(again) == text_of(await collect(engine, greedy, turns=turns))
    assert after.kv_cache_bytes > 0


async def test_a_persona_too_long_is_refused(engine: Engine) -> None:
    with pytest.raises(PromptTooLong):
        await anext(engine.generate(["I talk. " * 1000], HELLO))


async def test_a_missing_bundle_is_told_to_whoever_asks(tmp_path: Path) -> None:
    engine = Engine(EngineConfig(tmp_path / "nothing"))
    for _ in range(2):
        with pytest.raises(BundleError, match="no such bundle directory"):
            await collect(engine)
    with pytest.raises(BundleError):
        engine.load()
    assert not engine.stats().loaded
    engine.close()


async def test_closing_ends_everybody_and_can_be_done_twice() -> None:
    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=1, threads=1))
    tasks = [asyncio.create_task(collect(engine, LONG)) for _ in range(2)]
    while not engine.stats().running:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(engine.close)
    engine.close()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, EngineStopped) for end in ends)
    with pytest.raises(EngineStopped):
        await collect(engine)


class BreakingRunner(Runner):
    """Fails at its third decode step, as a runtime out of memory would."""

    lives = 0

    def __init__(self, bundle: Bundle, **options: int) -> None:
        super().__init__(bundle, **options)
        type(self).lives += 1
        self.steps = 0

    def decode(self, token_ids: Any, lengths: Any) -> Any:
        self.steps += 1
        if self.steps == 3 and self.lives == 1:
            raise MemoryError
        return super().decode(token_ids, lengths)


async def test_a_crash_reaches_everybody_and_the_next_request_starts_afresh(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = EngineConfig(DEFAULT_BUNDLE, max_batch=1, threads=1)
    engine = Engine(config, runner_factory=BreakingRunner)
    ends = await asyncio.gather(*(collect(engine, LONG) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(end, EngineStopped) for end in ends)
    assert "MemoryError" in str(ends[0])
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]
    assert text_of(await collect(engine))
    assert BreakingRunner.lives == 2
    engine.close()
