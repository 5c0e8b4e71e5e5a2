"""What the engine adds to the bare model: `python -m inference.bench [BUNDLE] [--threads N]`.

Prints tokens per second of 1, 8 and 32 chats through `Engine.generate`, the bare runner's at the
same moment, and the time to the first token of a new turn with and without its conversation's keys
and values. Replies run on to their limit, so that every step has the full batch.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.bundle import Bundle
from inference.engine import Engine, Finished
from inference.params import EngineConfig, SamplingParams
from inference.prompt import Turn
from inference.runner import Runner, TopK

PERSONA = ["I drive a night bus.", "My cat, Admiral, hates boats.", "I have two sisters."]
TALK = ("Hello! How are you today?", "I am fine, thank you. What about you?")
DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "default"
BATCHES = (1, 8, 32)


class MeasuredRunner(Runner):
    """Notes when each decode step began and ended, None for a prefill, and never ends a reply."""

    def __init__(self, bundle: Bundle, *, slots: int, threads: int) -> None:
        super().__init__(bundle, slots=slots, threads=threads)
        special = bundle.special_tokens
        self.sampling = SamplingParams.recommended(bundle.sampling)
        self._ends = (special.person, special.end)
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
            # Nobody reads the values of this measurement; any word does.
            np.putmask(top.ids, top.ids == end, max(self._ends) + 300)
        return top

    def full_steps(self, batch: int) -> list[tuple[float, float]]:
        """(seconds in the model, seconds until the next step began) of undisturbed steps."""
        return [
            (step[2] - step[1], following[1] - step[1])
            for step, following in pairwise(self.steps)
            if step and following and step[0] == following[0] == batch
        ]


async def throughput(engine: Engine, runner: MeasuredRunner, batch: int, tokens: int) -> str:
    """One line: what `batch` chats get, what the model alone takes, and the difference."""
    runner.steps.clear()
    params = replace(runner.sampling, max_tokens=tokens)
    began = perf_counter()
    await asyncio.gather(*(_reply(engine, [TALK[0]], params) for _ in range(batch)))
    whole = batch * tokens / (perf_counter() - began)
    steps = runner.full_steps(batch)
    model, step = median(s[0] for s in steps), median(s[1] for s in steps)
    return (
        f"{batch:>5} {batch / step:>9.0f} {whole:>16.0f} {batch / model:>13.0f} "
        f"{(step - model) * 1e6:>9.0f} us {(step - model) / step:>6.1%}"
    )


async def first_token(engine: Engine, cache_key: str | None, rounds: int) -> float:
    """Median milliseconds to the first token of a conversation's latest turn of many."""
    params = SamplingParams(max_tokens=12)
    times = []
    for number in range(rounds):
        said: list[str] = []
        for turn in range(4):
            said.append(f"{TALK[turn % 2]} I saw {number} ships.")
            key = cache_key and f"{cache_key} {number}"
            text, finished = await _reply(engine, said, params, key)
            said.append(text)
        times.append(finished.first_token_s * 1000)
    return median(times)


async def _reply(
    engine: Engine, said: Sequence[str], params: SamplingParams, cache_key: str | None = None
) -> tuple[str, Finished]:
    turns = [Turn("bot" if i % 2 else "person", text) for i, text in enumerate(said)]
    text = ""
    async for event in engine.generate(PERSONA, turns, params, cache_key=cache_key):
        if isinstance(event, Finished):
            return text, event
        text += getattr(event, "text", "")
    raise AssertionError("a reply has an end")


async def measure(bundle: Path, threads: int, tokens: int) -> None:
    """Print everything."""
    runners: list[MeasuredRunner] = []

    def factory(bundle: Bundle, *, slots: int, threads: int) -> MeasuredRunner:
        runners.append(MeasuredRunner(bundle, slots=slots, threads=threads))
        return runners[-1]

    config = EngineConfig(bundle, max_batch=max(BATCHES), threads=threads)
    engine = Engine(config, runner_factory=factory)
    await asyncio.to_thread(engine.load)
    print("chats  tokens/s  prompts included  model alone  engine's own part of a step")  # noqa: T201
    await throughput(engine, runners[0], max(BATCHES), tokens)  # warms everything up
    for batch in BATCHES:
        print(await throughput(engine, runners[0], batch, tokens))  # noqa: T201
    for name, key in (("recomputed", None), ("reused", "chat")):
        milliseconds = await first_token(engine, key, rounds=15)
        print(f"first token of a fourth turn, keys and values {name}: {milliseconds:.1f} ms")  # noqa: T201
    await asyncio.to_thread(engine.close)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="?", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores (default)")
    parser.add_argument("--tokens", type=int, default=100, help="per reply (default: 100)")
    options = parser.parse_args()
    asyncio.run(measure(options.bundle, options.threads, options.tokens))


if __name__ == "__main__":
    main()
