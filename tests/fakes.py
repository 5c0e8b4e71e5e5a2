"""An engine whose every step a test decides, for what the real one cannot be made to do at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from inference.events import Delta, Finished, Queued
from inference.params import SamplingParams
from inference.prompt import Turn

# A pause lasts until the test sets it.
Step = str | Queued | BaseException | asyncio.Event


@dataclass
class Call:
    """One request to the engine, and whether its caller has left."""

    persona: Sequence[str]
    turns: Sequence[Turn]
    params: SamplingParams
    cache_key: str | None
    left: asyncio.Event = field(default_factory=asyncio.Event)


class FakeEngine:
    """Each call plays the next script: texts, queue positions, pauses, errors."""

    def __init__(self) -> None:
        self.scripts: list[Sequence[Step]] = []
        self.calls: list[Call] = []

    def play(self, *steps: Step) -> None:
        self.scripts.append(steps)

    async def generate(
        self,
        persona: Sequence[str],
        turns: Sequence[Turn],
        params: SamplingParams,
        *,
        cache_key: str | None = None,
    ) -> AsyncGenerator[Queued | Delta | Finished, None]:
        call = Call(persona, turns, params, cache_key)
        self.calls.append(call)
        script = self.scripts.pop(0) if self.scripts else ("Hello", " there", ".")
        tokens = 0
        try:
            for step in script:
                match step:
                    case str():
                        tokens += 1
                        yield Delta(step, 1)
                    case asyncio.Event():
                        await step.wait()
                    case BaseException():
                        raise step
                    case Queued():
                        yield step
            yield Finished("end", 20, tokens, params, 0.0, 0.01, 0.02)
        finally:
            call.left.set()
