"""Our own engine, measured like its peers: through `Engine.answer`, prompts and all."""

from __future__ import annotations

import asyncio
from pathlib import Path

from inference.benchmark import MeasuredRunner, measured_engine
from inference.engine import Engine
from inference.params import SamplingParams
from inference.prompt import PromptRenderer, Turn


class OursPeer:
    """One `asyncio` task a chat, as a server has them."""

    def __init__(self, engine: Engine, runner: MeasuredRunner) -> None:
        self._engine, self._runner = engine, runner
        self._renderer = PromptRenderer.from_bundle(engine.bundle)

    def generate(self, chats: int, prompt_tokens: int, tokens: int) -> int:
        written = asyncio.run(self._generate(chats, self._turn(prompt_tokens), tokens))
        # Its notes are not wanted here and would only grow.
        self._runner.steps.clear()
        return written

    async def _generate(self, chats: int, turn: Turn, tokens: int) -> int:
        return sum(await asyncio.gather(*(self._reply(turn, tokens) for _ in range(chats))))

    async def _reply(self, turn: Turn, tokens: int) -> int:
        # What peers are asked for, and no more.
        params = SamplingParams(
            max_tokens=tokens, temperature=1, top_k=20, top_p=1, repetition_penalty=1
        )
        _, finished = await self._engine.answer([], [turn], params)
        return finished.completion_tokens

    def _turn(self, prompt_tokens: int) -> Turn:
        """A message whose prompt has so many tokens, or a token more."""
        words = ["a"]
        while True:
            turn = Turn("person", " ".join(words))
            if len(self._renderer.render([], [turn], reserve=1).ids) >= prompt_tokens:
                return turn
            words.append("a")

    def close(self) -> None:
        self._engine.close()


def load(bundle: Path, threads: int, chats: int) -> OursPeer:
    """Load a bundle with a slot for each of so many chats."""
    engine, runners = measured_engine(bundle, threads=threads, slots=chats)
    engine.load()
    return OursPeer(engine, runners[0])
