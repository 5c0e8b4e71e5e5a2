"""The engine with the real model: streaming, batching, limits, crashes."""

from __future__ import annotations

import asyncio
import threading
import time
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


class GatedRunner(Runner):
    """Decodes only while its gate is open."""

    def __init__(self, bundle: Bundle, **options: Any) -> None:
        super().__init__(bundle, **options)
        self.gate = threading.Event()

    def decode(self, token_ids: Any, lengths: Any) -> Any:
        self.gate.wait(60)
        return super().decode(token_ids, lengths)


class GatedEngine(Engine):
    """An engine whose replies stand still until `open` is called."""

    def __init__(self, **options: Any) -> None:
        self.runners: list[GatedRunner] = []
        super().__init__(
            EngineConfig(DEFAULT_BUNDLE, threads=1, **options), runner_factory=self._make
        )

    def _make(self, bundle: Bundle, **options: Any) -> GatedRunner:
        self.runners.append(GatedRunner(bundle, **options))
        return self.runners[-1]

    def open(self) -> None:
        self.runners[-1].gate.set()


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


async def test_the_same_seed_gives_the_same_reply_whoever_else_talks(engine: Engine) -> None:
    async def converse(name: int, cache_key: str | None) -> list[str]:
        turns: list[Turn] = []
        for question in ("Hi, how are you?", "What do you do?", "Do you like the sea?"):
            turns.append(Turn("person", f"{question} " * (1 + name % 3)))
            params = SamplingParams(max_tokens=12, top_k=40, temperature=1.1, seed=name)
            events = await collect(engine, params, turns=turns, cache_key=cache_key)
            turns.append(Turn("bot", text_of(events)))
        return [turn.text for turn in turns]

    alone = [await converse(name, None) for name in range(8)]
    together = await asyncio.gather(*(converse(name, f"chat {name}") for name in range(8)))
    assert together == alone


async def test_a_reply_ends_at_its_token_limit(engine: Engine) -> None:
    ends = [(await collect(engine, replace(LONG, max_tokens=7, seed=n)))[-1] for n in range(8)]
    finished = [end for end in ends if isinstance(end, Finished)]
    assert len(finished) == 8
    assert all((end.reason == "length") == (end.completion_tokens == 7) for end in finished)
    assert any(end.reason == "length" for end in finished)


async def test_no_control_token_is_ever_shown(engine: Engine, bundle: Bundle) -> None:
    for seed in range(6):
        text = text_of(await collect(engine, replace(LONG, max_tokens=60, seed=seed)))
        assert not any(mark in text for mark in ("<bot>", "<person>", "<persona>", "endoftext"))


async def test_a_full_line_is_refused_with_a_position() -> None:
    engine = GatedEngine(max_batch=2, max_queue=3)
    places: list[list[int]] = [[] for _ in range(5)]

    async def ask(seen: list[int]) -> str:
        text = ""
        async for event in engine.generate(PERSONA, HELLO, PARAMS):
            match event:
                case Queued(position):
                    seen.append(position)
                case Delta():
                    text += event.text
        return text

    running = [asyncio.create_task(ask(seen)) for seen in places]
    while engine.stats().running + engine.stats().waiting < 5:
        await asyncio.sleep(0.01)
    with pytest.raises(EngineBusy) as refusal:
        await collect(engine)
    assert refusal.value.position == 4
    engine.open()
    assert all(await asyncio.gather(*running))
    assert sorted(seen[0] for seen in places if seen)[-1] == 3
    assert all(seen == sorted(seen, reverse=True) for seen in places)
    assert text_of(await collect(engine))
    engine.close()


async def test_a_new_turn_costs_only_what_is_new(engine: Engine) -> None:
    before = engine.stats()
    greedy = SamplingParams(max_tokens=10, temperature=0)
    first = text_of(await collect(engine, greedy, cache_key="chat"))
    turns = [*HELLO, Turn("bot", first), Turn("person", "And then?")]
    again = await collect(engine, greedy, turns=turns, cache_key="chat")
    after = engine.stats()
    finished = again[-1]
    assert isinstance(finished, Finished)
    reused = after.totals.reused_tokens - before.totals.reused_tokens
    assert reused > finished.prompt_tokens // 2
    assert text_of(again) == text_of(await collect(engine, greedy, turns=turns))
    assert after.kv_cache_bytes > 0


async def test_a_persona_too_long_is_refused(engine: Engine) -> None:
    with pytest.raises(PromptTooLong):
        await anext(engine.generate(["I talk. " * 1000], HELLO))


async def test_a_persona_too_long_is_refused_before_it_is_read(engine: Engine) -> None:
    """What is looked for in its lines would keep everybody else waiting."""
    lines = [f"word{n} other{n}" for n in range(20_000)]
    turns = [Turn("person", "What film do you like?")]
    await asyncio.to_thread(engine.load)
    before = time.thread_time()
    with pytest.raises(PromptTooLong):
        await anext(engine.generate(lines, turns, replace(PARAMS, copying=0.8)))
    assert time.thread_time() - before < 1.5


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
    engine = GatedEngine(max_batch=1)
    tasks = [asyncio.create_task(collect(engine, PARAMS)) for _ in range(2)]
    while not engine.stats().running:
        await asyncio.sleep(0.01)
    worker = engine._worker
    assert worker
    closing = asyncio.create_task(asyncio.to_thread(engine.close))
    while not worker._closing:  # else both might be answered before
        await asyncio.sleep(0.01)
    engine.open()
    await closing
    engine.close()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, EngineStopped) for end in ends[1:])
    with pytest.raises(EngineStopped):
        await collect(engine)


class BreakingRunner(Runner):
    """Fails at its first decode step, as a runtime out of memory would."""

    def decode(self, token_ids: Any, lengths: Any) -> Any:
        raise MemoryError


async def test_a_crash_reaches_everybody_and_the_next_request_starts_afresh(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lives: list[Runner] = []

    def make(bundle: Bundle, **options: Any) -> Runner:
        lives.append(Runner(bundle, **options) if lives else BreakingRunner(bundle, **options))
        return lives[-1]

    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=1, threads=1), runner_factory=make)
    ends = await asyncio.gather(*(collect(engine, LONG) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(end, EngineStopped) for end in ends)
    assert "MemoryError" in str(ends[0])
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]
    assert text_of(await collect(engine))
    assert len(lives) == 2
    engine.close()
