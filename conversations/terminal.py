"""A chat without a browser: the same services, or with nothing kept the engine alone."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from itertools import count
from typing import TypeVar
from uuid import uuid4

from conversations.digits import LARGEST_ID
from conversations.models import Channel, Persona, Status
from conversations.services.conversations import (
    conversation_reset,
    conversation_start,
    persona_reveal,
)
from conversations.services.engine import engine, sampling_params
from conversations.services.events import ReplyEnded, ReplyToken
from conversations.services.messages import message_clean, message_send
from conversations.services.owners import Owner
from conversations.services.personas import persona_random
from conversations.services.replies import reply_stop, reply_stream
from inference.engine import Delta
from inference.errors import EngineError
from inference.prompt import Turn

T = TypeVar("T")


class ReplyFailed(Exception):
    """The reply did not come about; the message is for the person."""


class SavedChat:
    """A conversation in the database, in the channel "terminal"."""

    def __init__(self, persona: Persona, seed: int | None) -> None:
        self.conversation = conversation_start(
            channel=Channel.TERMINAL, owner=Owner(), persona=persona
        )
        self._seeds = _seeds(seed)

    @property
    def persona(self) -> Persona:
        return self.conversation.persona

    def reset(self) -> None:
        self.conversation = conversation_reset(conversation=self.conversation)

    def reveal(self) -> Persona:
        return persona_reveal(conversation=self.conversation)

    def send(self, text: str) -> AsyncIterator[str]:
        seed = next(self._seeds)
        exchange = message_send(
            conversation=self.conversation,
            text=text,
            client_id=uuid4(),
            sampling={} if seed is None else {"seed": seed},
        )
        return self._stream(exchange.reply.pk)

    async def _stream(self, reply_id: int) -> AsyncIterator[str]:
        def stop() -> None:
            stopping.append(asyncio.create_task(reply_stop(reply_id=reply_id)))

        stopping: list[asyncio.Task[None]] = []
        with _on_interrupt(stop):
            async for event in reply_stream(reply_id=reply_id):
                match event:
                    case ReplyToken(_, piece):
                        yield piece
                    case ReplyEnded(status=Status.FAILED, error_code=code):
                        raise ReplyFailed(_REASONS.get(code, code))


class UnsavedChat:
    """The same with nothing written anywhere: the turns are in memory until the process ends."""

    def __init__(self, persona: Persona, seed: int | None) -> None:
        self.persona = persona
        self._seeds = _seeds(seed)
        self._turns: list[Turn] = []

    def reset(self) -> None:
        self.persona = persona_random(besides=self.persona)
        self._turns = []

    def reveal(self) -> Persona:
        return self.persona

    def send(self, text: str) -> AsyncIterator[str]:
        self._turns.append(Turn("person", message_clean(text)))
        return self._stream()

    async def _stream(self) -> AsyncIterator[str]:
        said = ""
        stopped = asyncio.Event()
        params = replace(sampling_params(), seed=next(self._seeds))
        try:
            with _on_interrupt(stopped.set):
                events = engine().generate(self.persona.prompt_lines, self._turns, params)
                async with aclosing(events):
                    async for event in _until(stopped, events):
                        if isinstance(event, Delta):
                            said += event.text
                            yield event.text
        except EngineError as error:
            raise ReplyFailed(str(error)) from error
        finally:
            if said:
                self._turns.append(Turn("bot", said))


async def _until(stopped: asyncio.Event, events: AsyncIterator[T]) -> AsyncIterator[T]:
    """The events up to the moment of the stop, also while the next one is waited for."""
    stop = asyncio.ensure_future(stopped.wait())
    try:
        while True:
            coming = asyncio.ensure_future(anext(events, None))
            await asyncio.wait({coming, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                await asyncio.wait({coming})
                return
            if (event := coming.result()) is None:
                return
            yield event
    finally:
        stop.cancel()


_REASONS = {
    "busy": "The model is busy with others; try again in a moment.",
    "engine_unavailable": "The model did not answer; the log says why.",
    "not_saved": "The reply could not be saved; the log says why.",
}


def _seeds(first: int | None) -> Iterator[int | None]:
    """A seed for each reply: counting up from the first and on from 0, or None, chance."""
    return (None if first is None else seed % (LARGEST_ID + 1) for seed in count(first or 0))


@contextmanager
def _on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C stops the reply, not the program."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
