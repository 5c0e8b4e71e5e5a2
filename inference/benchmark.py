"""Measures the engine that answers people: what `manage.py benchmark` reports of a bundle."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.bundle import MODEL_DATA_FILE, Bundle, load_bundle
from inference.cores import usable_cores
from inference.engine import Engine, Finished
from inference.machine import memory_bandwidth
from inference.params import EngineConfig, SamplingParams
from inference.process import call_apart, resident_mb
from inference.prompt import PromptRenderer, Turn
from inference.runner import Runner, TopK

PERSONA = ["I drive a night bus.", "My cat, Admiral, hates boats.", "I have two sisters."]
TALK = ("Hello! How are you today?", "I am fine, thank you. What about you?")
PREFILL_TOKENS = 200
FIRST_TOKEN_ROUNDS = 20
RECOMPUTED_ROUNDS = 6
# Prompts are run one after the other while those before them are answered already: for each of them
# a reply goes on for so many tokens, or else for more, so that there are steps with all chats in
# them.
TOKENS_A_PROMPT = (4, 16, 64)


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """`batches`: numbers of simultaneous chats; `tokens` of each reply."""

    batches: Sequence[int]
    tokens: int
    threads: int


@dataclass(frozen=True, slots=True)
class Throughput:
    """Of `batch` chats at once: median seconds of a step and of the model's part of it, and tokens
    per second with the prompts' time in it."""

    batch: int
    step_s: float
    model_s: float
    whole: float

    @property
    def decode(self) -> float:
        """Tokens per second while all chats decode."""
        return self.batch / self.step_s

    @property
    def own_s(self) -> float:
        """The engine's own part of a step: scheduling, sampling, handing over."""
        return self.step_s - self.model_s


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`first_token_s` are of a new turn in a conversation whose keys and values are kept,
    `recomputed_s` the same without them; `bandwidth` is bytes per second that as many threads read
    from memory, `weight_bytes` what one step reads of the model."""

    name: str
    quantization: str
    load_s: float
    rss_mb: float | None
    prefill: float
    throughputs: Sequence[Throughput]
    first_token_s: Sequence[float]
    recomputed_s: Sequence[float]
    bandwidth: float
    weight_bytes: int

    @property
    def bus_share(self) -> float:
        """How near a step for the fewest chats is to reading its weights at memory's speed."""
        return self.weight_bytes / self.throughputs[0].step_s / self.bandwidth


class MeasuredRunner(Runner):
    """Notes when each decode step began and ended, None for a prefill, and never ends a reply."""

    def __init__(self, bundle: Bundle, *, slots: int, threads: int) -> None:
        super().__init__(bundle, slots=slots, threads=threads)
        special = bundle.special_tokens
        self._ends = (special.person, special.end)
        # Nobody reads what this measurement writes, but it should be words.
        self._word = PromptRenderer.from_bundle(bundle).encode("and")[0]
        self.steps: list[tuple[int, float, float] | None] = []

    def prefill(self, slot: int, token_ids: Sequence[int] | npt.NDArray[Any], past: int) -> TopK:
        self.steps.append(None)
        return self._endless(super().prefill(slot, token_ids, past))

    def decode(self, token_ids: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> TopK:
        began = perf_counter()
        top = self._endless(super().decode(token_ids, lengths))
        self.steps.append((len(token_ids), began, perf_counter()))
        return top

    def _endless(self, top: TopK) -> TopK:
        for end in self._ends:
            np.putmask(top.ids, top.ids == end, self._word)
        return top

    def full_steps(self, batch: int) -> list[tuple[float, float]]:
        """(seconds until the next step began, seconds in the model) of undisturbed steps."""
        return [
            (following[1] - step[1], step[2] - step[1])
            for step, following in pairwise(self.steps)
            if step and following and step[0] == following[0] == batch
        ]


def measured_engine(
    bundle: Path, *, threads: int, slots: int
) -> tuple[Engine, list[MeasuredRunner]]:
    """An engine whose runner notes its steps; the runner is in the list once it has loaded."""
    runners: list[MeasuredRunner] = []

    def factory(bundle: Bundle, *, slots: int, threads: int) -> MeasuredRunner:
        runners.append(MeasuredRunner(bundle, slots=slots, threads=threads))
        return runners[-1]

    config = EngineConfig(bundle, max_batch=slots, threads=threads)
    return Engine(config, runner_factory=factory), runners


def run_benchmark(path: Path, options: BenchmarkOptions) -> Benchmark:
    """Measure a bundle in a process of its own, which only serves it.

    Raises BundleError, and ValueError for replies too short.
    """
    return call_apart(_run, path, options)


def _run(path: Path, options: BenchmarkOptions) -> Benchmark:
    return asyncio.run(_measure(load_bundle(path), options))


async def _measure(bundle: Bundle, options: BenchmarkOptions) -> Benchmark:
    threads, most = options.threads or usable_cores(), max(options.batches)
    engine, runners = measured_engine(bundle.path, threads=threads, slots=most)
    began = perf_counter()
    await asyncio.to_thread(engine.load)
    load_s = perf_counter() - began
    try:
        await throughput(engine, runners[0], most, options.tokens)  # warms up
        throughputs = [
            await throughput(engine, runners[0], batch, options.tokens) for batch in options.batches
        ]
        kept = await first_tokens(engine, FIRST_TOKEN_ROUNDS, keep=True)
        recomputed = await first_tokens(engine, RECOMPUTED_ROUNDS, keep=False)
        rss_mb = resident_mb(os.getpid())
    finally:
        await asyncio.to_thread(engine.close)
    return Benchmark(
        name=bundle.name,
        quantization=bundle.quantization,
        load_s=load_s,
        rss_mb=rss_mb,
        prefill=prefill(bundle, threads),
        throughputs=throughputs,
        first_token_s=kept,
        recomputed_s=recomputed,
        bandwidth=memory_bandwidth(threads),
        weight_bytes=weight_bytes(bundle),
    )


async def throughput(engine: Engine, runner: MeasuredRunner, batch: int, tokens: int) -> Throughput:
    """What `batch` chats get with replies of so many tokens.

    Raises ValueError when the replies are too short for a step with all chats in it.
    """
    recommended = SamplingParams.recommended(engine.bundle.sampling)
    params = replace(recommended, max_tokens=tokens, candidates=1)
    began = perf_counter()
    replies = await _replies(engine, [params] * batch)
    written = sum(finished.completion_tokens for _, finished in replies)
    whole = written / (perf_counter() - began)
    for more in TOKENS_A_PROMPT:
        runner.steps.clear()
        lengths = range(tokens + (batch - 1) * more, tokens - 1, -more)
        await _replies(engine, [replace(params, max_tokens=length) for length in lengths])
        if steps := runner.full_steps(batch):
            break
    if not steps:
        raise ValueError(
            f"{batch} chats with replies of {tokens} tokens never all decode at once: "
            "the first reply ends before the last prompt is in. Give longer replies."
        )
    return Throughput(batch, median(s[0] for s in steps), median(s[1] for s in steps), whole)


async def _replies(engine: Engine, params: Iterable[SamplingParams]) -> list[tuple[str, Finished]]:
    return await asyncio.gather(*(_reply(engine, [TALK[0]], each) for each in params))


async def first_tokens(engine: Engine, rounds: int, *, keep: bool) -> list[float]:
    """Seconds to the first token of the fourth turn of so many conversations, whose keys and values
    may be kept between turns."""
    params = SamplingParams(max_tokens=12)
    times = []
    for number in range(rounds):
        said: list[str] = []
        for turn in range(4):
            said.append(f"{TALK[turn % 2]} I saw {number} ships.")
            text, finished = await _reply(engine, said, params, f"chat {number}" if keep else None)
            said.append(text)
        times.append(finished.first_token_s)
    return times


async def _reply(
    engine: Engine, said: Sequence[str], params: SamplingParams, cache_key: str | None = None
) -> tuple[str, Finished]:
    turns = [Turn("bot" if i % 2 else "person", text) for i, text in enumerate(said)]
    return await engine.answer(PERSONA, turns, params, cache_key=cache_key)


def prefill(bundle: Bundle, threads: int) -> float:
    """Tokens per second of one long prompt, best of three."""
    runner = Runner(bundle, slots=1, threads=threads)
    count = min(PREFILL_TOKENS, bundle.n_ctx - 1)
    ids = np.resize(np.arange(10, min(bundle.vocab_size, 250)), count)
    best = 0.0
    for _ in range(3):
        began = perf_counter()
        runner.prefill(0, ids, 0)
        best = max(best, count / (perf_counter() - began))
    runner.close()
    return best


def weight_bytes(bundle: Bundle) -> int:
    """What a step reads of the weights: all but the table of positions, float32, of which it takes
    a row. The table of tokens is read whole, for it is the output's matrix too."""
    return bundle.files[MODEL_DATA_FILE].bytes - 4 * bundle.n_ctx * bundle.n_embd
