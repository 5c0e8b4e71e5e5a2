"""One request as it crosses from its caller's event loop to the engine's thread and back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import monotonic

import numpy as np

from inference.detokenizer import Detokenizer
from inference.events import Event, Finished
from inference.params import SamplingParams
from inference.prompt import Prompt
from inference.sequence import Sequence


@dataclass(slots=True, eq=False)
class Request:
    """`inbox` and `signal` belong to the caller's loop, the rest to the engine's thread."""

    prompt: Prompt
    params: SamplingParams
    cache_key: str | None
    detokenizer: Detokenizer
    loop: asyncio.AbstractEventLoop
    sequence: Sequence = field(init=False)
    submitted_at: float = field(default_factory=monotonic)
    admitted_at: float = 0.0
    first_token_at: float = 0.0
    unreported: int = 0
    position: int = 0
    _uniforms: list[float] = field(init=False)
    inbox: deque[Event | BaseException] = field(default_factory=deque)
    signal: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.sequence = Sequence(self.prompt.ids, self.params.max_tokens, owner=self)
        # Drawn beforehand and for this reply alone: its draws do not depend on who else runs.
        generator = np.random.Generator(np.random.PCG64(self.params.seed))
        self._uniforms = generator.random(self.params.max_tokens).tolist()[::-1]

    def next_uniform(self) -> float:
        """The number in [0, 1) that decides on the reply's next token."""
        return self._uniforms.pop()

    def receive(self, event: Event | BaseException) -> None:
        """Runs in the caller's loop."""
        self.inbox.append(event)
        self.signal.set()

    async def events(self) -> AsyncIterator[Event]:
        """What the engine has to say, until the reply is whole; raises what it ended with."""
        while True:
            await self.signal.wait()
            self.signal.clear()
            while self.inbox:
                event = self.inbox.popleft()
                if isinstance(event, BaseException):
                    raise event
                yield event
                if isinstance(event, Finished):
                    return

    def finished(self, reason: str) -> Finished:
        """The last event; the clock stops now."""
        now = monotonic()
        return Finished(
            reason="end" if reason == "end" else "length",
            prompt_tokens=len(self.prompt.ids),
            completion_tokens=len(self.sequence.reply),
            sampling=self.params,
            queued_s=self.admitted_at - self.submitted_at,
            first_token_s=self.first_token_at - self.submitted_at,
            duration_s=now - self.admitted_at,
        )
