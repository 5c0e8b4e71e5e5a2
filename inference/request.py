"""One request as it crosses from its caller's event loop to the engine's thread and back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from time import monotonic

from inference.contest import Contest, Standing
from inference.copying import Copying
from inference.detokenizer import Detokenizer
from inference.errors import EngineError
from inference.events import Delta, Event, Finished, Queued
from inference.params import SamplingParams
from inference.prompt import Prompt
from inference.repetition import Echo
from inference.sequence import TokenSequence
from inference.spelling import Spelling

Item = int | Queued | Finished | EngineError
"""What the engine's thread hands over: a token of the reply, or news."""


@dataclass(slots=True, eq=False, kw_only=True)
class Reply(TokenSequence):
    """A reply to a request as it is being written; the engine's thread's alone.

    `limit` is the most tokens that it may have, `room` the most when it shows nothing before.
    `standing` is None for the only reply of a request. `unsaid` are tokens that its first sentence
    does without.
    """

    request: Request
    number: int
    standing: Standing | None
    limit: int
    room: int
    echo: Echo | None
    copying: Copying | None
    spelling: Spelling | None
    unsaid: Sequence[int]
    shows: bool = False
    blocked: Sequence[int] = ()
    next_uniform: Callable[[], float] = field(init=False)

    def __post_init__(self) -> None:
        # Its own numbers in [0, 1), one a token: its draws do not depend on who else runs. The
        # first reply of several is the one that there would be alone.
        seed = self.request.params.seed
        self.next_uniform = Random(f"{seed} {self.number}" if self.number else seed).random  # noqa: S311


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """From `detokenizer` and `inbox` to `ended` all belongs to the caller's loop, the rest to the
    engine's thread. `params` has a seed. Of several `replies` the caller gets the one that wins
    their contest. `avoided` are tokens that none of them says. `begun` counts its first tokens,
    which are handed over at once.

    Tokens become text on the caller's side, while the engine's thread runs the next step.
    """

    prompt: Prompt
    params: SamplingParams
    cache_key: str | None
    detokenizer: Detokenizer
    loop: asyncio.AbstractEventLoop
    avoided: frozenset[int] = frozenset()
    replies: list[Reply] = field(default_factory=list)
    submitted_at: float = field(default_factory=monotonic)
    admitted_at: float = 0.0
    first_token_at: float = 0.0
    reused: int = 0
    position: int = 0
    begun: int = 0
    done: bool = False
    inbox: deque[Item] = field(default_factory=deque)
    waiter: asyncio.Future[None] | None = None
    untold: int = 0
    ended: bool = False

    def add_reply(
        self,
        echo: Echo | None,
        copying: Copying | None,
        spelling: Spelling | None,
        unsaid: Sequence[int],
        contest: Contest | None = None,
    ) -> None:
        """Prepare a reply; one of several needs a position more, for the token that ends it."""
        room = self.prompt.reply_room - (contest is not None)
        reply = Reply(
            prompt_ids=self.prompt.ids,
            width=contest.left if contest else 1,
            request=self,
            number=len(self.replies),
            standing=Standing(contest) if contest else None,
            limit=min(self.params.max_tokens, room),
            room=room,
            echo=echo,
            copying=copying,
            spelling=spelling,
            unsaid=unsaid,
        )
        self.replies.append(reply)

    def finished(self, *, at_limit: bool, tokens: int) -> Finished:
        """The last event; the clock stops now."""
        return Finished(
            reason="length" if at_limit else "end",
            prompt_tokens=len(self.prompt.ids),
            completion_tokens=tokens,
            sampling=self.params,
            queued_s=self.admitted_at - self.submitted_at,
            first_token_s=self.first_token_at - self.submitted_at,
            duration_s=monotonic() - self.admitted_at,
            reused_tokens=self.reused,
            dropped_turns=self.prompt.dropped_turns,
        )

    def receive(self, items: Iterable[Item]) -> None:
        """Runs in the caller's loop."""
        self.inbox.extend(items)
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(None)

    async def news(self) -> None:
        """Wait until there is something in the inbox."""
        if not self.inbox:
            self.waiter = self.loop.create_future()
            await self.waiter

    def events(self) -> Iterator[Event]:
        """What is in the inbox: all tokens in a row as one piece of text. Raises an error in it."""
        text = ""
        while self.inbox:
            item = self.inbox.popleft()
            if isinstance(item, int):
                self.untold += 1
                text += self.detokenizer.add(item)
                continue
            if isinstance(item, EngineError):
                raise item
            if isinstance(item, Finished):
                self.ended = True
                text += self.detokenizer.finish()
            if text:
                yield self._delta(text)
                text = ""
            yield item
        if text:
            yield self._delta(text)

    def _delta(self, text: str) -> Delta:
        tokens, self.untold = self.untold, 0
        return Delta(text, tokens)
