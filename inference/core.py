"""Scheduler, model and sampler put together, one step at a time. No threads and no event loops.

A step fills in a bounded piece of the waiting prompts and decodes one token of every running reply.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import numpy as np

from inference.detokenizer import blank_tokens, unshown_tokens, unspoken_tokens
from inference.events import Queued, Totals
from inference.kv_cache import Entry, KVCache
from inference.model import Model
from inference.params import EngineConfig
from inference.repetition import recent_words
from inference.request import Item, Request
from inference.sampling import Sampler
from inference.scheduler import Move, Scheduler
from inference.sequence import Phase

# Weight of the newest reply in the running mean that waiting times are estimated from.
SMOOTHING = 0.1
# Those who wait hear of their place this often; a newcomer at once.
POSITION_SECONDS = 0.5


class EngineCore:
    """Runs requests; `emit` is given every token and all news as it happens. One thread only."""

    def __init__(
        self,
        model: Model,
        config: EngineConfig,
        totals: Totals,
        emit: Callable[[Request, Item], None],
    ) -> None:
        self.scheduler: Scheduler[Request] = Scheduler(config.max_batch)
        self.cache = KVCache(config.kv_cache_mb * 2**20)
        self._runner = model.runner
        self._totals = totals
        self._emit = emit
        self._tokens = np.zeros(config.max_batch, np.int64)
        self._lengths = np.zeros(config.max_batch, np.int64)
        self._seconds_per_reply: float | None = None
        self._newcomers = self._queue_moved = False
        self._positions_told_at = 0.0
        special = model.bundle.special_tokens
        self._stops = frozenset((special.person, special.end))
        self._blank = frozenset(unshown_tokens(model.pieces))
        self._sampler = Sampler(
            rows=config.max_batch,
            vocab_size=model.bundle.vocab_size,
            candidates=model.runner.top_k,
            never=[
                *(token for token in unspoken_tokens(model.pieces) if token not in self._stops),
                *range(len(model.pieces), model.bundle.vocab_size),
            ],
            not_first=[*self._stops, *blank_tokens(model.pieces)],
            spared=model.spared,
        )

    @property
    def is_idle(self) -> bool:
        return self.scheduler.is_idle

    def add(self, request: Request) -> None:
        self.scheduler.add(request)
        self._newcomers = True

    def abandon(self, request: Request) -> bool:
        """The caller has left; its slot is free now. False when the reply has ended already."""
        if request.phase is Phase.DONE:
            return False
        self._totals.abandoned += 1
        self._leave(request)
        return True

    def wait_seconds(self, position: int) -> float | None:
        """Until the request at a position has a slot: one is free every mean duration / slots."""
        mean = self._seconds_per_reply
        return None if mean is None else position * mean / self.scheduler.slots

    def step(self) -> None:
        self._fill()
        if self.scheduler.decoding:
            self._decode()
        if self._newcomers or self._queue_moved:
            self._tell_positions()

    def close(self) -> None:
        """Let go of the model and of all keys and values."""
        self.cache.clear()
        self._runner.close()

    def _fill(self) -> None:
        """Run prompts, up to the scheduler's budget while somebody is being answered."""
        budget = self.scheduler.prefill_budget()
        while request := self.scheduler.filling or self._admit():
            count = min(request.prompt_left, budget or request.prompt_left)
            piece = request.prompt_ids[request.cached : request.cached + count]
            values, ids = self._runner.prefill(request.slot, piece, request.cached)
            request.cached += count
            self._totals.prompt_tokens += count
            if not request.prompt_left:
                self._move(self.scheduler.begin_decoding())
                self._sampler.start(
                    request.slot, request.params, recent_words(request.prompt.own_turns)
                )
                token = self._sampler.sample(values, ids, [request.next_uniform()], request.slot)
                request.first_token_at = monotonic()
                self._accept(request, int(token[0]))
            if budget is None or budget <= count:
                return
            budget -= count

    def _admit(self) -> Request | None:
        request = self.scheduler.admit()
        if request is None:
            return None
        request.admitted_at = monotonic()
        self._queue_moved = True
        found = request.cache_key and self.cache.find(request.cache_key, request.prompt_ids)
        if found:
            entry, shared = found
            # The last token is run again: its logits are what the reply begins with.
            request.reused = request.cached = min(shared, len(request.prompt_ids) - 1)
            self._runner.load(request.slot, entry.snapshot, request.cached)
            self._totals.reused_tokens += request.reused
        return request

    def _decode(self) -> None:
        batch = tuple(self.scheduler.decoding)
        size = len(batch)
        tokens, lengths = self._tokens[:size], self._lengths[:size]
        tokens[:] = [request.reply_ids[-1] for request in batch]
        lengths[:] = [request.cached for request in batch]
        values, ids = self._runner.decode(tokens, lengths)
        drawn = self._sampler.sample(values, ids, [request.next_uniform() for request in batch])
        # All first: a reply that ends moves another's slot, whose newest position must go along.
        for request in batch:
            request.cached += 1
        for request, token in zip(batch, drawn.tolist(), strict=True):
            self._accept(request, token)

    def _accept(self, request: Request, token: int) -> None:
        """A reply's next token: to its caller, or the end of the reply."""
        if token in self._stops:
            self._finish(request, at_limit=False)
            return
        self._totals.tokens += 1
        request.reply_ids.append(token)
        self._emit(request, token)
        if request.echo:
            if request.blocked:
                self._sampler.unblock(request.slot, request.blocked)
            request.blocked = request.echo.add(token)
            if request.blocked:
                self._sampler.block(request.slot, request.blocked)
        if not request.shows and token not in self._blank:
            request.shows = True
            self._sampler.begun(request.slot)
        length = len(request.reply_ids)
        # A reply that shows nothing yet goes on for as long as there is room.
        if length >= request.limit and (request.shows or length >= request.prompt.reply_room):
            self._finish(request, at_limit=True)

    def _finish(self, request: Request, *, at_limit: bool) -> None:
        self._leave(request)
        self._totals.finished += 1
        finished = request.finished(at_limit=at_limit)
        self._emit(request, finished)
        mean = self._seconds_per_reply
        change = 0.0 if mean is None else SMOOTHING * (finished.duration_s - mean)
        self._seconds_per_reply = finished.duration_s if mean is None else mean + change

    def _leave(self, request: Request) -> None:
        """Free the slot; the keys and values in it are kept for the conversation's next turn."""
        self._queue_moved = True
        if request.cache_key and request.cached and self.cache.budget:
            snapshot = self._runner.save(request.slot, request.cached)
            self.cache.put(request.cache_key, Entry(request.cached_ids, snapshot))
        self._move(self.scheduler.remove(request))

    def _move(self, move: Move | None) -> None:
        if move is not None:
            self._runner.move(move.source, move.target, move.length)
            self._sampler.move(move.source, move.target)

    def _tell_positions(self) -> None:
        now = monotonic()
        if not self._newcomers and now - self._positions_told_at < POSITION_SECONDS:
            return
        everybody = now - self._positions_told_at >= POSITION_SECONDS
        for position, request in enumerate(self.scheduler.queue(), start=1):
            if request.position != position and (everybody or not request.position):
                request.position = position
                self._emit(request, Queued(position, self.wait_seconds(position)))
        self._newcomers = False
        if everybody:
            self._queue_moved = False
            self._positions_told_at = now
