"""One request as it crosses from its caller's event loop to the engine's thread and back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from random import Random
from time import monotonic

from inference.detokenizer import Detokenizer
from inference.errors import EngineError
from inference.events import Delta, Event, Finished
from inference.params import SamplingParams
from inference.prompt import Prompt
from inference.sequence import Sequence


@dataclass(slots=True, eq=False, kw_only=True)
class Request(Sequence):
    """`inbox` and `signal` belong to the caller's loop, the rest to the engine's thread.

    `params` has a seed.
    """

    prompt: Prompt
    params: SamplingParams
    cache_key: str | None
    detokenizer: Detokenizer
    loop: asyncio.AbstractEventLoop
    prompt_ids: tuple[int, ...] = field(init=False)
    submitted_at: float = field(default_factory=monotonic)
    admitted_at: float = 0.0
    first_token_at: float = 0.0
    reused: int = 0
    untold_tokens: int = 0
    position: int = 0
    inbox: deque[Event | EngineError] = field(default_factory=deque)
    signal: asyncio.Event = field(default_factory=asyncio.Event)
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.prompt_ids = self.prompt.ids
        # Its own numbers, one a token: its draws do not depend on who else runs.
        self._random = Random(self.params.seed)  # noqa: S311

    @property
    def is_full(self) -> bool:
        """Whether the reply is as long as it may be. One that shows nothing yet goes on."""
        length = len(self.reply_ids)
        return length >= self.prompt.reply_room or (
            length >= self.params.max_tokens and self.detokenizer.started
        )

    def next_uniform(self) -> float:
        """The number in [0, 1) that decides on the reply's next token."""
        return self._random.random()

    def finished(self, *, at_limit: bool) -> Finished:
        """The last event; the clock stops now."""
        return Finished(
            reason="length" if at_limit else "end",
            prompt_tokens=len(self.prompt_ids),
            completion_tokens=len(self.reply_ids),
            sampling=self.params,
            queued_s=self.admitted_at - self.submitted_at,
            first_token_s=self.first_token_at - self.submitted_at,
            duration_s=monotonic() - self.admitted_at,
            reused_tokens=self.reused,
            dropped_turns=self.prompt.dropped_turns,
        )

    def receive(self, event: Event | EngineError) -> None:
        """Runs in the caller's loop."""
        self.inbox.append(event)
        self.signal.set()

    async def events(self) -> AsyncGenerator[Event, None]:
        """What the engine has to say, until the reply is whole; raises what it ended with.

        Text that has come in while the caller was busy is handed over in one piece.
        """
        while True:
            await self.signal.wait()
            self.signal.clear()
            while self.inbox:
                event = self._next()
                if isinstance(event, EngineError):
                    raise event
                yield event
                if isinstance(event, Finished):
                    return

    def _next(self) -> Event | EngineError:
        event = self.inbox.popleft()
        while isinstance(event, Delta) and self.inbox and isinstance(self.inbox[0], Delta):
            more = self.inbox.popleft()
            assert isinstance(more, Delta)  # noqa: S101
            event = Delta(event.text + more.text, event.tokens + more.tokens)
        return event
