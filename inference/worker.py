"""The thread that owns the model: takes requests in, runs steps, hands events out.

A step takes in what has arrived, gives one prompt a bounded piece of prefill, decodes one token of
every running reply, and delivers all events with one call per event loop. When anything raises, the
worker tells every caller and dies; the engine makes a new one for the next request.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from inference.detokenizer import Piece, blank_tokens
from inference.errors import EngineError, EngineStopped
from inference.events import Delta, EngineStats, Event, Queued
from inference.kv_cache import Entry, KVCache
from inference.params import EngineConfig, SamplingParams
from inference.prompt import PromptRenderer
from inference.request import Request
from inference.sampling import Sampler
from inference.scheduler import Move, Scheduler
from inference.sequence import Phase, Sequence

if TYPE_CHECKING:
    from inference.bundle import Bundle
    from inference.runner import Runner

logger = logging.getLogger(__name__)

# Prompt tokens run between two decode steps while somebody is being answered.
PREFILL_TOKENS = 64
# Weight of the newest reply in the running mean that waiting times are estimated from.
_SMOOTHING = 0.1

RunnerFactory = Callable[..., "Runner"]


@dataclass(frozen=True, slots=True)
class Model:
    """What is in memory once a bundle is loaded. The runner is the worker thread's alone."""

    bundle: Bundle
    renderer: PromptRenderer
    sampling: SamplingParams
    pieces: list[Piece]
    runner: Runner
    load_seconds: float


class Worker:
    """One life of the engine: a thread from loading the bundle to closing or crashing."""

    def __init__(self, config: EngineConfig, load: Callable[[], Model]) -> None:
        self.ready: Future[Model] = Future()
        self.ready.set_running_or_notify_cancel()
        self._config = config
        self._load = load
        self._changed = threading.Condition()
        self._arrived: deque[Request] = deque()
        self._left: deque[Request] = deque()
        self._open = 0  # requests taken and not yet ended
        self._closing = False
        self.dead = False
        self._scheduler = Scheduler(config.max_batch)
        self._cache = KVCache(config.kv_cache_mb * 2**20)
        self._outbox: dict[asyncio.AbstractEventLoop, list[tuple[Request, Event | BaseException]]]
        self._outbox = {}
        self._tokens = np.zeros(config.max_batch, np.int64)
        self._lengths = np.zeros(config.max_batch, np.int64)
        self._seconds_per_reply: float | None = None
        self._queue_changed = False
        self.tokens_total = self.prompt_tokens_total = self.reused_tokens_total = 0
        self._thread = threading.Thread(target=self._live, name="inference-engine", daemon=True)

    # Called from any thread.

    def start(self) -> None:
        self._thread.start()

    def submit(self, request: Request) -> tuple[int, float | None] | None:
        """Take a request in; when it is one too many, its place in line and the wait instead.

        Raises EngineStopped when the worker has died.
        """
        with self._changed:
            if self.dead or self._closing:
                raise EngineStopped("The model was stopped. Please try again.")
            if self._open >= self._config.max_batch + self._config.max_queue:
                position = self._open - self._config.max_batch + 1
                return position, self._wait(position)
            self._open += 1
            self._arrived.append(request)
            self._changed.notify()
        return None

    def abandon(self, request: Request) -> None:
        """The caller has left: the request's slot is free before the next token."""
        with self._changed:
            self._left.append(request)
            self._changed.notify()

    def close(self) -> None:
        """Stop; every caller gets EngineStopped. Returns when the model is out of memory."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def stats(self) -> EngineStats:
        loaded = self.ready.done() and not self.dead
        running = self._scheduler.running
        return EngineStats(
            loaded=loaded,
            running=running,
            waiting=max(0, self._open - running),
            slots=self._config.max_batch,
            tokens_total=self.tokens_total,
            prompt_tokens_total=self.prompt_tokens_total,
            reused_tokens_total=self.reused_tokens_total,
            kv_cache_conversations=len(self._cache),
            kv_cache_bytes=self._cache.used,
            load_seconds=self.ready.result().load_seconds if loaded else 0.0,
        )

    # The thread.

    def _live(self) -> None:
        reason: BaseException = EngineStopped("The server is shutting down.")
        try:
            model = self._load()
            self._prepare(model)
            self.ready.set_result(model)
            while self._wait_for_work():
                self._step()
        except Exception as error:  # every waiter is told, and the log has the reason
            reason = error if isinstance(error, EngineError) else _crashed(error)
            if not isinstance(error, EngineError):
                logger.exception("the engine's thread failed; the next request starts a new one")
        self._die(reason)

    def _prepare(self, model: Model) -> None:
        special = model.bundle.special_tokens
        self._runner = model.runner
        self._stops = frozenset((special.person, special.end))
        blank = blank_tokens(model.pieces)
        self._sampler = Sampler(
            rows=self._config.max_batch,
            vocab_size=model.bundle.vocab_size,
            candidates=model.runner.top_k,
            never=[
                token for token in blank if not model.pieces[token] and token not in self._stops
            ],
            not_first=blank,
        )

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not self._closing and self._scheduler.is_idle:
                if self._arrived or self._left:
                    break
                self._changed.wait()
            while self._arrived:
                self._scheduler.add(self._arrived.popleft().sequence)
                self._queue_changed = True
            left = [self._left.popleft() for _ in range(len(self._left))]
        for request in left:
            self._abort(request)
        return not self._closing

    def _step(self) -> None:
        budget = PREFILL_TOKENS if self._scheduler.decoding else self._runner.n_ctx
        while budget > 0 and (sequence := self._scheduler.filling or self._admit()):
            budget -= self._prefill(sequence, budget)
        if self._scheduler.decoding:
            self._decode()
        if self._queue_changed:
            self._tell_positions()
        self._deliver()

    def _admit(self) -> Sequence | None:
        sequence = self._scheduler.admit()
        if sequence is None:
            return None
        request: Request = sequence.owner
        request.admitted_at = monotonic()
        self._queue_changed = True
        found = request.cache_key and self._cache.find(request.cache_key, sequence.prompt)
        if found:
            entry, shared = found
            # The last token is run again: its logits are what the reply begins with.
            sequence.cached = min(shared, len(sequence.prompt) - 1)
            self._runner.load(sequence.slot, entry.snapshot, sequence.cached)
            self.reused_tokens_total += sequence.cached
        return sequence

    def _prefill(self, sequence: Sequence, budget: int) -> int:
        count = min(sequence.prompt_left, budget)
        piece = sequence.prompt[sequence.cached : sequence.cached + count]
        values, ids = self._runner.prefill(sequence.slot, piece, sequence.cached)
        sequence.cached += count
        self.prompt_tokens_total += count
        if not sequence.prompt_left:
            self._copy(self._scheduler.begin_decoding(), prompt_only=True)
            request: Request = sequence.owner
            self._sampler.start(sequence.slot, request.params, request.prompt.bot_ids)
            token = self._sampler.sample(values, ids, [request.next_uniform()], sequence.slot)[0]
            request.first_token_at = monotonic()
            self._accept(sequence, int(token))
        return count

    def _decode(self) -> None:
        batch = tuple(self._scheduler.decoding)
        for row, sequence in enumerate(batch):
            self._tokens[row] = sequence.reply[-1]
            self._lengths[row] = sequence.cached
        size = len(batch)
        values, ids = self._runner.decode(self._tokens[:size], self._lengths[:size])
        uniforms = [sequence.owner.next_uniform() for sequence in batch]
        tokens = self._sampler.sample(values, ids, uniforms).tolist()
        # All first: a reply that ends moves another's slot, whose newest position must go along.
        for sequence in batch:
            sequence.cached += 1
        for sequence, token in zip(batch, tokens, strict=True):
            self._accept(sequence, token)

    def _accept(self, sequence: Sequence, token: int) -> None:
        """A reply's next token: to its caller as text, or the end of the reply."""
        request: Request = sequence.owner
        if token in self._stops:
            self._finish(request, "end")
            return
        self.tokens_total += 1
        sequence.reply.append(token)
        request.unreported += 1
        blank = not request.detokenizer.started
        self._report(request, request.detokenizer.add(token))
        if blank and request.detokenizer.started:
            self._sampler.begun(sequence.slot)
        full = sequence.cached + 1 >= self._runner.n_ctx
        if full or len(sequence.reply) >= sequence.max_tokens:
            self._finish(request, "length")

    def _report(self, request: Request, text: str) -> None:
        if text:
            self._send(request, Delta(text, request.unreported))
            request.unreported = 0

    def _finish(self, request: Request, reason: str) -> None:
        self._report(request, request.detokenizer.finish())
        self._keep(request)
        self._copy(self._scheduler.remove(request.sequence))
        self._send(request, request.finished(reason))
        self._learn_pace(monotonic() - request.admitted_at)
        self._end(1)

    def _abort(self, request: Request) -> None:
        if request.sequence.phase is Phase.DONE:
            return
        if request.sequence.phase is Phase.WAITING:
            self._queue_changed = True
        else:
            self._keep(request)
        self._copy(self._scheduler.remove(request.sequence))
        self._end(1)

    def _keep(self, request: Request) -> None:
        """Keep the keys and values of the conversation so far for its next turn."""
        sequence = request.sequence
        if request.cache_key and self._cache.budget and sequence.cached:
            snapshot = self._runner.save(sequence.slot, sequence.cached)
            self._cache.put(request.cache_key, Entry(sequence.token_ids, snapshot))

    def _copy(self, move: Move | None, *, prompt_only: bool = False) -> None:
        if move is not None:
            self._runner.move(move.source, move.target, move.length)
            if not prompt_only:
                self._sampler.move(move.source, move.target)

    # Events.

    def _send(self, request: Request, event: Event | BaseException) -> None:
        self._outbox.setdefault(request.loop, []).append((request, event))

    def _deliver(self) -> None:
        for loop, events in self._outbox.items():
            try:
                loop.call_soon_threadsafe(_receive, events)
            except RuntimeError:  # the loop is closed, and its callers with it
                for request, _ in events:
                    self._abort(request)
        self._outbox = {}

    def _tell_positions(self) -> None:
        self._queue_changed = False
        for place, sequence in enumerate(self._scheduler.waiting, start=1):
            request: Request = sequence.owner
            if request.position != place:
                request.position = place
                self._send(request, Queued(place, self._wait(place)))

    def _wait(self, position: int) -> float | None:
        """Seconds until the request at a position has a slot: one leaves each mean/slots."""
        if self._seconds_per_reply is None:
            return None
        return position * self._seconds_per_reply / self._config.max_batch

    def _learn_pace(self, seconds: float) -> None:
        before = self._seconds_per_reply
        change = 0.0 if before is None else (seconds - before) * _SMOOTHING
        self._seconds_per_reply = seconds if before is None else before + change

    def _end(self, count: int) -> None:
        with self._changed:
            self._open -= count

    def _die(self, reason: BaseException) -> None:
        with self._changed:
            self.dead = True
            requests = [*self._arrived, *(s.owner for s in self._scheduler.clear())]
            self._arrived.clear()
            self._open = 0
        self._outbox = {}
        for request in requests:
            self._send(request, _copy_of(reason))
        self._deliver()
        if not self.ready.done():
            self.ready.set_exception(reason)
        elif not self.ready.exception():
            self.ready.result().runner.close()
        self._runner = None  # type: ignore[assignment]


def _receive(events: list[tuple[Request, Event | BaseException]]) -> None:
    for request, event in events:
        request.receive(event)


def _crashed(error: Exception) -> EngineStopped:
    return EngineStopped(f"The model stopped unexpectedly ({type(error).__name__}). Try again.")


def _copy_of(reason: BaseException) -> BaseException:
    # Each caller raises its own: one exception raised in many tasks collects all their tracebacks.
    return type(reason)(*reason.args)
