"""Scheduler, model and sampler put together, one step at a time. No event loops.

A step begins the replies whose prompts are in and decodes one token of every running one. Prompts
are run meanwhile, in a second thread, and take what decoding leaves of the cores; how often steps
come beside them is `pace.py`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from inference.beside import SideThread
from inference.contest import Standing
from inference.copying import NO_COPIES
from inference.events import Totals
from inference.kv_cache import Entry, KVCache
from inference.line import WaitingLine
from inference.model import Model
from inference.params import EngineConfig
from inference.process import memory_give_back
from inference.repetition import recent_words
from inference.request import Item, Reply, Request
from inference.sampling import Sampler, log_likelihoods
from inference.scheduler import Move, Scheduler
from inference.sequence import Phase

if TYPE_CHECKING:
    from inference.runner import TopK
    from inference.slots import KVSnapshot

# The kernels of a prompt take its tokens four by four; one to three left over cost more than four.
_TOKENS_AT_ONCE = 4

_IN_SLOTS = (Phase.PREFILL, Phase.DECODE)


class EngineCore:
    """Runs requests; `emit` is given every token and all news as it happens. To be called by one
    thread only. `prompt_done` is called by the second one, which runs prompts."""

    def __init__(
        self,
        model: Model,
        config: EngineConfig,
        totals: Totals,
        emit: Callable[[Request, Item], None],
        prompt_done: Callable[[], None],
    ) -> None:
        self.scheduler: Scheduler[Reply] = Scheduler(config.max_batch)
        self.line = WaitingLine(self.scheduler, emit)
        self.cache = KVCache(config.kv_cache_bytes)
        self._runner = model.runner
        self._prompts: SideThread[TopK] = SideThread("inference-prompts", prompt_done)
        self._running: deque[tuple[Reply, Future[TopK]]] = deque()  # the prompts, as they came
        self._totals = totals
        self._emit = emit
        self._tokens = np.zeros(config.max_batch, np.int64)
        self._lengths = np.zeros(config.max_batch, np.int64)
        self.step_seconds = 0.0  # that the last one of the batch took
        self._contests: set[Request] = set()
        special, vocabulary = model.bundle.special_tokens, model.vocabulary
        self._stops = frozenset((special.person, special.end))
        # In training this is what ends a reply.
        self._turn_end = special.person
        self._shows_last, self._ends = vocabulary.shows_last, vocabulary.ends
        self._sampler = Sampler(
            rows=config.max_batch,
            vocab_size=model.bundle.vocab_size,
            candidates=model.runner.top_k,
            never=[
                *(vocabulary.unspoken - self._stops),
                *range(len(vocabulary), model.bundle.vocab_size),
            ],
            not_first=[*self._stops, *vocabulary.blank],
            spared=vocabulary.spared,
            inner=vocabulary.inner,
        )

    @property
    def is_idle(self) -> bool:
        return self.scheduler.is_idle and not self._running

    @property
    def is_answering(self) -> bool:
        return bool(self.scheduler.decoding)

    @property
    def is_joined(self) -> bool:
        """Whether prompts are being run, and nobody waits for a slot."""
        return bool(self._running) and not self.scheduler.waiting

    @property
    def has_prompt(self) -> bool:
        """Whether a reply can begin."""
        return bool(self._running) and self._running[0][1].done()

    def add(self, request: Request) -> None:
        self.scheduler.add(request.replies[0])
        self.line.has_newcomers = True

    def abandon(self, request: Request) -> bool:
        """The caller has left; its slots are free now. False when the reply has ended already."""
        if request.done:
            return False
        self._totals.abandoned += 1
        # The others of a request wait outside the scheduler until its prompt is filled in.
        held = [reply for reply in request.replies if reply.phase in _IN_SLOTS]
        for reply in held or request.replies[:1]:
            # While its prompt is being run, what its slot holds is unknown.
            self._leave(reply, keep=reply.phase is Phase.DECODE)
        self._close(request)
        return True

    def step(self, *, decode: bool) -> None:
        """Begin the replies whose prompts are in, and with `decode` let all that run go on."""
        self._fill()
        if decode and self.scheduler.decoding:
            began = monotonic()
            self._decode()
            self.step_seconds = monotonic() - began
        if self.line.has_newcomers or self.line.has_moved:
            self.line.tell()

    def rest(self) -> None:
        """Nothing is running: give back what running has borrowed."""
        self._runner.rest()
        memory_give_back()

    def close(self) -> None:
        """Let go of the model and of all keys and values."""
        self._prompts.close()
        self.cache.clear()
        self._runner.close()

    def _fill(self) -> None:
        """Have the prompts run of all for whom there are slots, and begin the replies whose prompts
        are in. Where nobody is being answered, wait for the first."""
        while reply := self.scheduler.admit():
            self._running.append((reply, self._run_prompt(reply)))
        while self._running:
            reply, run = self._running[0]
            if self.scheduler.decoding and not run.done():
                return
            self._running.popleft()
            top = run.result()
            if reply.phase is Phase.PREFILL:  # else its caller has left meanwhile
                reply.cached = len(reply.prompt_ids)
                self._begin(reply.request, top)

    def _run_prompt(self, reply: Reply) -> Future[TopK]:
        """Have what is not cached of a prompt run, in the second thread after those before it; here
        and now where that holds nobody up."""
        request, tokens = reply.request, reply.prompt_ids
        request.admitted_at = monotonic()
        self.line.has_moved = True
        snapshot = None
        if found := request.cache_key and self.cache.find(request.cache_key, tokens):
            entry, shared = found
            snapshot = entry.snapshot
            request.reused = _reusable(shared, len(tokens))
        self._totals.reused_tokens += request.reused
        self._totals.prompt_tokens += len(tokens) - request.reused
        fill = partial(self._fill_slot, reply.slot, tokens, request.reused, snapshot)
        if self.scheduler.decoding or self._running:
            return self._prompts.run(fill)
        return self._prompts.ran(fill)

    def _fill_slot(
        self, slot: int, tokens: Sequence[int], reused: int, snapshot: KVSnapshot | None
    ) -> TopK:
        """In either thread: nothing else touches the slot until this has ended."""
        if snapshot:
            self._runner.load(slot, snapshot, reused)
        return self._runner.prefill(slot, tokens[reused:], reused).copy()

    def _begin(self, request: Request, top: TopK) -> None:
        """The prompt is in: draw the first token of every reply to it."""
        first, *others = request.replies
        self._move(self.scheduler.begin_decoding())
        for reply in others:
            self._move(self.scheduler.fork(first, reply))
        if others:
            self._contests.add(request)
        said = recent_words(request.prompt.own_turns)
        drawn = []
        for reply in request.replies:
            self._sampler.start(reply.slot, request.params, said)
            if blocked := [*reply.unsaid, *request.avoided]:
                self._sampler.block(reply.slot, blocked)
            if reply.copying:
                self._sampler.copy(reply.slot, reply.copying.first)
            drawn.append((reply, self._draw([reply], top, reply.slot)))
        request.first_token_at = monotonic()
        for reply, token in drawn:
            if reply.standing:
                self._note([reply], top, token)
            self._accept(reply, int(token[0]))

    def _decode(self) -> None:
        batch = tuple(self.scheduler.decoding)
        size = len(batch)
        tokens, lengths = self._tokens[:size], self._lengths[:size]
        tokens[:] = [reply.reply_ids[-1] for reply in batch]
        lengths[:] = [reply.cached for reply in batch]
        top = self._runner.decode(tokens, lengths)
        drawn = self._draw(batch, top)
        # All first: a reply that ends moves another's slot, whose newest position must go along.
        for reply in batch:
            reply.cached += 1
        if self._contests:
            self._note(batch, top, drawn)
        for reply, token in zip(batch, drawn.tolist(), strict=True):
            self._accept(reply, token)

    def _draw(self, batch: Sequence[Reply], top: TopK, first_row: int = 0) -> npt.NDArray[np.int64]:
        """The next token of each reply: another one where the first would make no word."""
        drawn = self._sampler.sample(*top, [reply.next_uniform() for reply in batch], first_row)
        for place, (reply, token) in enumerate(zip(batch, drawn.tolist(), strict=True)):
            if reply.spelling and not reply.spelling.fits(token):
                other = self._sampler.resample(
                    *top.only(place), reply.next_uniform(), reply.slot, reply.spelling.fits
                )
                if other is None:
                    other = reply.spelling.rest()
                drawn[place] = token if other is None else other
        self._sampler.said(drawn, first_row)
        return drawn

    def _note(self, batch: Sequence[Reply], top: TopK, drawn: npt.NDArray[np.int64]) -> None:
        """What the model thinks of the replies that are one of several."""
        nats = log_likelihoods(*top, drawn).tolist()
        scores = self._runner.choice_scores
        for row, reply in enumerate(batch):
            if reply.standing:
                reply.standing.note(nats[row], None if scores is None else float(scores[row]))

    def _accept(self, reply: Reply, token: int) -> None:
        """A reply's next token: to its caller, or the end of the reply."""
        standing = reply.standing
        if standing and standing.whole:
            self._run_out(reply, standing)
            return
        if token in self._stops:
            self._end(reply, at_limit=False)
            return
        self._totals.tokens += 1
        reply.reply_ids.append(token)
        if not standing:
            self._emit(reply.request, token)
        self._steer(reply, token)
        if not reply.shows and self._shows_last(reply.reply_ids):
            reply.shows = True
            self._sampler.begun(reply.slot)
        length = len(reply.reply_ids)
        # A reply that shows nothing yet goes on for as long as there is room.
        if length >= reply.limit and (reply.shows or length >= reply.room):
            self._end(reply, at_limit=True)

    def _steer(self, reply: Reply, token: int) -> None:
        """What a reply had better say next, and what it should not say again. What the prompt says
        may be said again: half of a true statement would go on as an untrue one."""
        if reply.unsaid and self._ends[token]:
            self._sampler.allow(reply.slot, reply.unsaid)
            reply.unsaid = ()
        if reply.blocked:
            self._sampler.unblock(reply.slot, reply.blocked)
        if reply.spelling:
            reply.spelling.add(token)
        copies = reply.copying.add(token) if reply.copying else NO_COPIES
        self._sampler.copy(reply.slot, copies)
        if reply.echo:
            spared = (copies.tokens, reply.unsaid, reply.request.avoided)
            reply.blocked = [
                again
                for again in reply.echo.add(token)
                if not any(again in tokens for tokens in spared)
            ]
        if reply.blocked:
            self._sampler.block(reply.slot, reply.blocked)

    def _end(self, reply: Reply, *, at_limit: bool) -> None:
        """A reply is whole: the one there is, or one to be compared with others."""
        standing = reply.standing
        if standing is None:
            self._leave(reply, keep=True)
            self._finish(reply.request, len(reply.reply_ids), at_limit=at_limit)
            return
        standing.whole, standing.at_limit = True, at_limit
        if self._runner.choice_scores is None:
            self._compare(reply, standing, reply.reply_ids)
        elif not at_limit:
            self._run_out(reply, standing)

    def _run_out(self, reply: Reply, standing: Standing) -> None:
        """Run what is left of a whole reply: after the token that ends it the score is known."""
        if reply.reply_ids[-1] == self._turn_end:
            self._compare(reply, standing, reply.reply_ids[:-1])
        else:
            reply.reply_ids.append(self._turn_end)

    def _compare(self, reply: Reply, standing: Standing, tokens: Sequence[int]) -> None:
        """Enter a reply into its contest; the last one of it decides."""
        contest = standing.contest
        self._leave(reply, keep=contest.enter(reply.number, tokens, standing))
        if not contest.left:
            for token in contest.winner:
                self._emit(reply.request, token)
            self._finish(reply.request, contest.tokens, at_limit=contest.at_limit)

    def _finish(self, request: Request, tokens: int, *, at_limit: bool) -> None:
        self._totals.finished += 1
        finished = request.finished(at_limit=at_limit, tokens=tokens)
        self._emit(request, finished)
        self.line.ended(finished.duration_s * len(request.replies))
        self._close(request)

    def _close(self, request: Request) -> None:
        request.done = True
        request.replies.clear()
        self._contests.discard(request)

    def _leave(self, reply: Reply, *, keep: bool) -> None:
        """Free a slot; with `keep` what is in it is kept for the conversation's next turn."""
        self.line.has_moved = True
        key = reply.request.cache_key
        if keep and key and reply.cached and self.cache.budget:
            snapshot = self._runner.save(reply.slot, reply.cached)
            self.cache.put(key, Entry(reply.cached_ids, snapshot))
        self._move(self.scheduler.remove(reply))

    def _move(self, move: Move | None) -> None:
        if move is not None:
            self._runner.move(move.source, move.target, move.length)
            self._sampler.move(move.source, move.target)


def _reusable(shared: int, length: int) -> int:
    """How many of the `shared` cached positions a prompt of so many tokens does not run again."""
    # The last token is run in any case: its logits are what the reply begins with.
    reused = min(shared, length - 1)
    return max(0, reused - (reused - length) % _TOKENS_AT_ONCE)
