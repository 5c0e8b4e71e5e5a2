"""The engine: many chats, one model, one batch.

`Engine.generate` is an async iterator in the caller's event loop; a `Worker` (worker.py) runs the
model in its own thread and answers all chats in one batch (continuous batching, Yu et al. 2022,
"Orca"). Leaving the iterator frees the slot within one token.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from inference.bundle import Bundle
from inference.capitals import names_in
from inference.casing import CaseRestorer
from inference.contest import Contest
from inference.copying import Copying
from inference.detokenizer import Detokenizer
from inference.errors import EngineStopped
from inference.events import Delta, EngineStats, Event, Finished, Queued, Totals
from inference.model import Model, RunnerFactory, load_model
from inference.params import EngineConfig, SamplingParams
from inference.persona.answering import NO_ANSWER, Answer
from inference.persona.remembered import questions_answered, remembered
from inference.prompt import Prompt, Turn
from inference.repetition import Echo
from inference.request import Request
from inference.rerank import Judge
from inference.spelling import Spelling, WordList, words_in

if TYPE_CHECKING:
    from inference.worker import Worker

__all__ = ["Delta", "Engine", "EngineStats", "Event", "Finished", "Queued"]


class Engine:
    """Serves one bundle. Cheap to make: nothing is loaded before it is used.

    `runner_factory` makes the runner from (bundle, slots=, threads=); by default ONNX Runtime's.
    """

    def __init__(
        self, config: EngineConfig, *, runner_factory: RunnerFactory | None = None
    ) -> None:
        self.config = config
        self._runner_factory = runner_factory
        self._totals = Totals()
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._closed = False

    def load(self) -> None:
        """Load the bundle now and wait for it. Raises BundleError."""
        self._living_worker().ready.result()

    @property
    def bundle(self) -> Bundle:
        """The loaded bundle; loads it if need be."""
        return self._living_worker().ready.result().bundle

    def stats(self) -> EngineStats:
        """Figures for operators; loads nothing."""
        worker = self._worker
        return worker.stats() if worker else EngineStats(slots=self.config.max_batch)

    async def generate(
        self,
        persona: Sequence[str],
        turns: Sequence[Turn],
        params: SamplingParams | None = None,
        *,
        cache_key: str | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Answer the last of `turns` as the character whose lines are `persona`.

        Yields `Queued` while waiting, then `Delta`s whose texts joined are the reply, then one
        `Finished`. Of several `candidates` the best comes as one `Delta` when all are written;
        there are never more of them than the engine has slots. `cache_key` names the conversation,
        whose next turn then costs only what is new.

        Raises EngineBusy when the line is full, PromptTooLong, BundleError, and EngineStopped when
        the engine is closed or fails.
        """
        worker = self._living_worker()
        model = await asyncio.shield(asyncio.wrap_future(worker.ready))
        request = self._request(model, persona, turns, params or model.sampling, cache_key)
        worker.submit(request)
        try:
            while not request.ended:
                await request.news()
                for event in request.events():
                    yield event
        finally:
            worker.abandon(request)

    async def answer(
        self,
        persona: Sequence[str],
        turns: Sequence[Turn],
        params: SamplingParams | None = None,
        *,
        cache_key: str | None = None,
    ) -> tuple[str, Finished]:
        """The whole reply that `generate` yields piece by piece, and how it ended. Raises what that
        does."""
        text = ""
        async with aclosing(self.generate(persona, turns, params, cache_key=cache_key)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return text, event
                if isinstance(event, Delta):
                    text += event.text
        raise AssertionError("a reply has an end")

    def close(self) -> None:
        """Stop for good; callers still waiting get EngineStopped. Safe to call again."""
        with self._lock:
            self._closed = True
            worker, self._worker = self._worker, None
        if worker:
            worker.close()

    def _living_worker(self) -> Worker:
        # What it needs (numpy, in the end ONNX Runtime) is imported when a model is wanted.
        from inference.worker import Worker

        with self._lock:
            if self._closed:
                raise EngineStopped("The server is shutting down.")
            if self._worker is None or self._worker.dead:
                self._worker = Worker(self.config, self._load_model, self._totals)
                self._worker.start()
            return self._worker

    def _load_model(self) -> Model:
        return load_model(self.config, self._runner_factory)

    def _request(
        self,
        model: Model,
        persona: Sequence[str],
        turns: Sequence[Turn],
        params: SamplingParams,
        cache_key: str | None,
    ) -> Request:
        """Everything that can be done in the caller's thread, so that the engine's need not."""
        count = min(params.candidates, self.config.max_batch)
        # One of several candidates needs room for the token that ends it. What is too long is
        # refused before anything is looked for in it.
        prompt = model.renderer.render(persona, turns, reserve=params.max_tokens + (count > 1))
        if params.seed is None:
            params = replace(params, seed=secrets.randbits(31))
        case = None
        if model.renderer.lowercase:
            names = names_in([*persona, *(turn.text for turn in turns)])
            case = CaseRestorer(names, model.lexicon.names if model.lexicon else {})
        contest = None
        if count > 1:
            contest = Contest(Judge(persona, turns), model.vocabulary.pieces, count)
        answer, avoided = _answer(model, persona, turns, params)
        request = Request(
            prompt=prompt,
            params=params,
            cache_key=cache_key,
            detokenizer=Detokenizer(model.vocabulary.pieces, case),
            loop=asyncio.get_running_loop(),
            avoided=frozenset(avoided),
        )
        copying = _copying(model, prompt, params, answer.begins)
        heard = remembered(turns)
        spelling = _spelling(model, persona, heard, avoided)
        answered = [model.renderer.encode(question) for question in questions_answered(heard)]
        for _ in range(count):
            # What the prompt goes on with is found once; each copy is at its own word.
            echo = _echo(model, prompt, params, answered)
            request.add_reply(echo, copy(copying), copy(spelling), answer.unsaid, contest)
        return request


def _answer(
    model: Model, persona: Sequence[str], turns: Sequence[Turn], params: SamplingParams
) -> tuple[Answer, Sequence[int]]:
    """What the reply begins with, and what is not said in it."""
    if not params.copying:
        return NO_ANSWER, ()
    answer = model.answers.to(turns, persona, params.max_tokens) or NO_ANSWER
    avoided = model.answers.avoided(turns, persona)
    return answer, [token for token in avoided if token not in answer.begins]


def _copying(
    model: Model, prompt: Prompt, params: SamplingParams, begins: Sequence[int]
) -> Copying | None:
    if not params.copying:
        return None
    special = model.bundle.special_tokens
    share = params.copying if params.temperature else 1.0
    return Copying(prompt.ids, model.vocabulary, special, share, begins)


def _echo(
    model: Model, prompt: Prompt, params: SamplingParams, answered: Sequence[Sequence[int]]
) -> Echo | None:
    if params.repetition_penalty <= 1:
        return None
    bot = model.bundle.special_tokens.bot
    return Echo(prompt.own_turns, bot, model.vocabulary, answered)


def _spelling(
    model: Model, persona: Sequence[str], heard: Sequence[str], avoided: Sequence[int]
) -> Spelling | None:
    """What the character said before does not count: it may be from before there was a list."""
    if model.lexicon is None:
        return None
    own = WordList({word for text in (*persona, *heard) for word in words_in(text.lower())})
    return Spelling(model.lexicon, own, avoided)
