"""What the engine adds to the bare model: `python -m inference.bench [BUNDLE] [--threads N]`.

Prints tokens per second of 1, 8 and 32 chats through `Engine.generate`, the bare runner's at the
same moment, and the time to the first token of a new turn with and without its conversation's keys
and values. Replies run on to their limit, so that every step has the full batch.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Throughput:
    """Tokens per second of `batch` chats: as they decode, prompts included, and of the model alone.

    `step_s` and `model_s` are median seconds of a step and of the model's part of it.
    """

    batch: int
    decode: float
    whole: float
    model: float
    step_s: float
    model_s: float

    def __str__(self) -> str:
        own = self.step_s - self.model_s
        return (
            f"{self.batch:>5} {self.decode:>9.0f} {self.whole:>16.0f} {self.model:>13.0f} "
            f"{own * 1e6:>9.0f} us {own / self.step_s:>6.1%}"
        )


async def throughput(engine: Engine, runner: MeasuredRunner, batch: int, tokens: int) -> Throughput:
    """What `batch` chats get, what the model alone takes, and the difference.

    Raises ValueError when the replies are too short for a step with all chats in it.
    """
    runner.steps.clear()
    params = replace(runner.sampling, max_tokens=tokens)
    began = perf_counter()
    await asyncio.gather(*(_reply(engine, [TALK[0]], params) for _ in range(batch)))
    whole = batch * tokens / (perf_counter() - began)
    steps = runner.full_steps(batch)
    if not steps:
        raise ValueError(
            f"{batch} chats with replies of {tokens} tokens never all decode at once: "
            "the first reply ends before the last prompt is in. Give longer replies."
        )
    model, step = median(s[0] for s in steps), median(s[1] for s in steps)
    return Throughput(batch, batch / step, whole, batch / model, step, model)


async def first_tokens(engine: Engine, cache_key: str | None, rounds: int) -> list[float]:
    """Milliseconds to the first token of the fourth turn of so many conversations."""
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
    return times


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


async def measure(bundle: Path, threads: int, tokens: int) -> None:
    """Print everything."""
    engine, runners = measured_engine(bundle, threads=threads, slots=max(BATCHES))
    await asyncio.to_thread(engine.load)
    print("chats  tokens/s  prompts included  model alone  engine's own part of a step")  # noqa: T201
    await throughput(engine, runners[0], max(BATCHES), tokens)  # warms everything up
    for batch in BATCHES:
        print(await throughput(engine, runners[0], batch, tokens))  # noqa: T201
    for name, key in (("recomputed", None), ("reused", "chat")):
        milliseconds = median(await first_tokens(engine, key, rounds=15))
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
