"""Chats that come and go in any order: each gets the reply it would have got alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import numpy.typing as npt
import pytest

from inference.bundle import Bundle
from inference.engine import Delta, Engine, Event, Finished, Queued
from inference.errors import EngineStopped
from inference.params import EngineConfig, SamplingParams
from inference.prompt import Turn
from inference.runner import TopK
from tests.inference.conftest import DEFAULT_BUNDLE, PERSONA, until_idle
from tests.inference.history_runner import HeldRunner, HistoryRunner

PARAMS = SamplingParams(max_tokens=30, temperature=1, top_k=8, seed=3)


def new_engine(**options: Any) -> Engine:
    config = EngineConfig(DEFAULT_BUNDLE, **{"max_batch": 4, "max_queue": 64, **options})
    return Engine(config, runner_factory=HistoryRunner)


@pytest.fixture(params=[0, 50], ids=["at once", "paced"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = new_engine(tokens_per_second=request.param)
    yield engine
    engine.close()


async def chat(engine: Engine, name: int, rounds: int, *, keep: bool) -> list[str]:
    """The replies of a conversation of so many rounds."""
    turns: list[Turn] = []
    for number in range(rounds):
        turns.append(Turn("person", f"message {number} of {name} " * (1 + name % 7)))
        reply = ""
        key = f"chat {name}" if keep else None
        async for event in engine.generate(PERSONA, turns, PARAMS, cache_key=key):
            if isinstance(event, Delta):
                reply += event.text
        turns.append(Turn("bot", reply))
    return [turn.text for turn in turns if turn.speaker == "bot"]


async def drain(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


async def leave_early(engine: Engine, random: Random) -> None:
    """Come and go: while waiting, at the first piece, or later."""
    patience = random.randrange(6)
    turns = [Turn("person", "I will not stay. " * random.randint(1, 20))]
    async with aclosing(engine.generate(PERSONA, turns, PARAMS, cache_key="fickle")) as events:
        async for event in events:
            patience -= 1
            if patience < 0 or isinstance(event, Queued):
                break


async def test_nothing_that_others_do_changes_a_reply(engine: Engine) -> None:
    random = Random(1)
    names = range(12)
    alone = [await chat(engine, name, 3, keep=False) for name in names]
    leaving = [leave_early(engine, random) for _ in range(30)]
    chats = [chat(engine, name, 3, keep=True) for name in names]
    everyone = [*leaving, *chats]
    random.shuffle(everyone)
    order = {id(coroutine): place for place, coroutine in enumerate(everyone)}
    done = await asyncio.gather(*everyone)
    assert [done[order[id(coroutine)]] for coroutine in chats] == alone
    await until_idle(engine)
    stats = engine.stats()
    assert stats.totals.finished + stats.totals.abandoned == 36 + 36 + len(leaving)
    assert stats.totals.abandoned > 0
    assert stats.totals.reused_tokens > 0


async def test_callers_may_live_in_different_event_loops(engine: Engine) -> None:
    alone = [await chat(engine, name, 2, keep=False) for name in range(4)]
    replies: dict[int, list[str]] = {}

    def live(name: int) -> None:
        replies[name] = asyncio.run(chat(engine, name, 2, keep=True))

    threads = [threading.Thread(target=live, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert [replies[name] for name in range(4)] == alone


ENDLESS = SamplingParams(max_tokens=400, temperature=1, seed=0)


class HeldPrompts(HistoryRunner):
    """Runs its first prompt, and no other until it may."""

    ends = 0

    def __init__(self, bundle: Bundle, *, slots: int, threads: int, go_on: threading.Event) -> None:
        super().__init__(bundle, slots=slots, threads=threads)
        self._go_on = go_on
        self._is_first = True

    def prefill(self, slot: int, token_ids: Sequence[int], past: int) -> TopK:
        if not self._is_first:
            assert self._go_on.wait(30)
        self._is_first = False
        return super().prefill(slot, token_ids, past)


async def test_a_prompt_holds_up_nobody_who_is_being_answered() -> None:
    go_on = threading.Event()
    runner = partial(HeldPrompts, go_on=go_on)
    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=4), runner_factory=runner)

    async def ask(text: str) -> str:
        params = replace(PARAMS, max_tokens=300)
        reply, _ = await engine.answer(PERSONA, [Turn("person", text)], params, cache_key=text)
        return reply

    go_on.set()
    alone = [await ask(text) for text in ("One", "Two", "Three")]
    engine.close()
    go_on.clear()
    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=4), runner_factory=runner)
    first = asyncio.create_task(ask("One"))
    while not engine.stats().totals.tokens:
        await asyncio.sleep(0)
    others = [asyncio.create_task(ask(text)) for text in ("Two", "Three")]
    left = asyncio.create_task(ask("I will not stay"))
    assert await first == alone[0]
    assert not any(task.done() for task in others)
    left.cancel()
    go_on.set()
    assert await asyncio.gather(*others) == alone[1:]
    engine.close()


def held_engine() -> tuple[Engine, threading.Event]:
    """An engine whose replies stand still before they end, until the event is set."""
    go_on = threading.Event()
    config = EngineConfig(DEFAULT_BUNDLE, max_batch=1)
    return Engine(config, runner_factory=partial(HeldRunner, go_on=go_on)), go_on


async def test_leaving_frees_the_slot_before_the_next_token() -> None:
    engine, go_on = held_engine()
    async with aclosing(engine.generate(PERSONA, [Turn("person", "Hi")], ENDLESS)) as events:
        await anext(events)
    go_on.set()
    await until_idle(engine)
    assert engine.stats().totals.abandoned == 1
    # The first one comes of the prompt, the last one of the step that stood still.
    assert engine.stats().totals.tokens <= 1 + HeldRunner.STEPS + 1
    engine.close()


async def test_a_loop_that_was_closed_holds_no_slot() -> None:
    engine, go_on = held_engine()
    loop = asyncio.new_event_loop()
    events = engine.generate(PERSONA, [Turn("person", "Hi")], ENDLESS)

    def begin_and_vanish() -> None:
        loop.run_until_complete(anext(events))
        loop.close()

    await asyncio.to_thread(begin_and_vanish)
    go_on.set()
    await until_idle(engine)
    assert engine.stats().totals.abandoned == 1
    engine.close()


async def test_a_slow_reader_gets_all_the_text_in_fewer_pieces(engine: Engine) -> None:
    turns = [Turn("person", "Tell me more.")]
    quick = await drain(engine.generate(PERSONA, turns, PARAMS))
    slow: list[Event] = []
    async for event in engine.generate(PERSONA, turns, PARAMS):
        slow.append(event)
        await until_idle(engine)
        # It hands over what there is before it takes the next request in.
        await drain(engine.generate(PERSONA, turns, replace(PARAMS, max_tokens=1)))

    def text(events: list[Event]) -> tuple[str, int]:
        deltas = [event for event in events if isinstance(event, Delta)]
        return "".join(d.text for d in deltas), sum(d.tokens for d in deltas)

    assert text(slow) == text(quick)
    assert len(slow) <= 3
    assert isinstance(slow[-1], Finished)


class BreaksOnceOneIsWhole(HistoryRunner):
    """The model fails in the very step in which a reply is whole."""

    ends = 0

    def __init__(
        self, bundle: Bundle, *, slots: int, threads: int, whole: Callable[[], int]
    ) -> None:
        super().__init__(bundle, slots=slots, threads=threads)
        self._whole = whole

    def decode(self, token_ids: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> TopK:
        if self._whole():
            raise OSError("the disk under the weights is gone")
        time.sleep(0.01)  # the other reply goes on for longer than it takes to ask for this one
        return super().decode(token_ids, lengths)


async def test_a_reply_that_was_whole_before_a_crash_is_whole() -> None:
    config = EngineConfig(DEFAULT_BUNDLE, max_batch=2)
    asked: list[Engine] = []
    runner = partial(BreaksOnceOneIsWhole, whole=lambda: asked[0].stats().totals.finished)
    asked.append(engine := Engine(config, runner_factory=runner))
    turns = [Turn("person", "Hi")]
    endless = SamplingParams(max_tokens=400, top_k=1, seed=0, temperature=0)
    running = engine.generate(PERSONA, turns, endless)
    await anext(running)
    one_word = SamplingParams(max_tokens=1, seed=0)
    whole = [event async for event in engine.generate(PERSONA, turns, one_word)]
    assert isinstance(whole[-1], Finished)
    with pytest.raises(EngineStopped, match="OSError"):
        await drain(running)
    stats = engine.stats()
    assert (stats.totals.crashes, stats.running, stats.waiting) == (1, 0, 0)
    assert not stats.loaded
    engine.close()


async def test_a_crash_as_a_reply_ends_reaches_its_caller_too() -> None:
    both_are_in = threading.Event()

    class Immobile(HistoryRunner):
        ends = 0
        steps = prompts = 0

        def prefill(self, slot: int, token_ids: Sequence[int], past: int) -> TopK:
            self.prompts += 1
            return super().prefill(slot, token_ids, past)

        def decode(self, token_ids: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> TopK:
            both_are_in.wait(30)
            self.steps += 1
            while self.steps > 1 and self.prompts < 2:
                time.sleep(0.001)
            return super().decode(token_ids, lengths)

        def move(self, source: int, target: int, length: int) -> None:
            raise OSError("the device is gone")

    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=2), runner_factory=Immobile)
    # The second one is to take the first one's slot.
    turns = [Turn("person", "Hi")]
    asked = [engine.generate(PERSONA, turns, replace(ENDLESS, max_tokens=n)) for n in (20, 400)]
    replies = [asyncio.create_task(drain(events)) for events in asked]
    while engine.stats().running + engine.stats().waiting < 2:
        await asyncio.sleep(0.01)
    both_are_in.set()
    async with asyncio.timeout(10):
        ends = await asyncio.gather(*replies, return_exceptions=True)
    assert all(isinstance(end, EngineStopped) and "OSError" in str(end) for end in ends)
    engine.close()


async def test_a_queue_tells_newcomers_at_once_and_never_sends_anybody_back() -> None:
    engine, go_on = held_engine()
    events: list[list[int]] = []

    async def wait_in_line(name: int) -> None:
        places: list[int] = []
        events.append(places)
        async for event in engine.generate(PERSONA, [Turn("person", f"Hi {name}")], PARAMS):
            if isinstance(event, Queued):
                places.append(event.position)
                assert event.wait_seconds is None or event.wait_seconds >= 0

    waiting = asyncio.gather(*(wait_in_line(name) for name in range(8)))
    while engine.stats().running + engine.stats().waiting < 8:
        await asyncio.sleep(0.001)
    go_on.set()
    await waiting
    assert all(places == sorted(set(places), reverse=True) for places in events)
    assert sum(bool(places) for places in events) == 7
    engine.close()


def test_importing_the_engine_loads_no_numeric_library() -> None:
    heavy = {"numpy", "onnxruntime", "tokenizers"}
    code = f"import sys, inference.engine; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_process_may_end_in_the_middle_of_a_reply() -> None:
    code = f"""
import asyncio
from pathlib import Path
from inference.engine import Engine, EngineConfig, SamplingParams, Turn

async def main():
    engine = Engine(EngineConfig(Path({str(DEFAULT_BUNDLE)!r}), threads=1))
    params = SamplingParams(max_tokens=200, temperature=3, top_k=64, top_p=1.0)
    replies = [engine.generate(["I sing."], [Turn("person", "Hi")], params) for _ in range(8)]
    await asyncio.gather(*(anext(reply) for reply in replies))
    raise SystemExit(3)

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (3, "")
