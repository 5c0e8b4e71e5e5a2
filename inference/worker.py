"""The thread that owns the model: takes requests in, runs steps, hands events out.

Between two steps it takes in what has arrived and lets go of what was given up; after each it hands
over what there is (`outbox.py`). When anything raises, the worker tells every caller and dies; the
engine makes a new one for the next request.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from time import monotonic

from inference.core import EngineCore
from inference.errors import EngineBusy, EngineError, EngineStopped
from inference.events import EngineStats, Finished, Totals
from inference.model import Model
from inference.outbox import Outbox
from inference.pace import Pace
from inference.params import EngineConfig
from inference.process import memory_in_few_arenas
from inference.request import Item, Request

logger = logging.getLogger(__name__)

# How long a thread that wants the interpreter waits until another has to give it up. The engine's
# wants it after every step: with Python's 5 ms, a busy event loop takes a third of the throughput.
SWITCH_SECONDS = 0.0002
# With nothing to do for so long, what runs of the model have borrowed goes back to the system.
QUIET_SECONDS = 0.3


class Worker:
    """One life of the engine: a thread from loading the bundle to closing or crashing."""

    def __init__(
        self, config: EngineConfig, load: Callable[[], Model], totals: Totals | None = None
    ) -> None:
        self.ready: Future[Model] = Future()
        self.ready.set_running_or_notify_cancel()
        self.dead = False
        self._config = config
        self._load = load
        self._totals = totals or Totals()
        self._core: EngineCore | None = None
        self._changed = threading.Condition()
        self._arrived: deque[Request] = deque()
        self._left: deque[Request] = deque()
        self._open: dict[Request, None] = {}  # taken in and not yet ended, as they came
        self._closing = False
        self._outbox = Outbox()
        self._pace = Pace(config.tokens_per_second)
        self._stepped_at = 0.0
        self._thread = threading.Thread(target=self._live, name="inference-engine", daemon=True)

    # Called from any thread.

    def start(self) -> None:
        # Python ends with daemon threads still running; in the middle of a step that is a crash.
        atexit.register(self.close)
        memory_in_few_arenas()
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Take a request in. Raises EngineBusy when it is one too many, EngineStopped when dead."""
        with self._changed:
            if self._closing or self._core is None:
                raise EngineStopped("The model was stopped. Please try again.")
            if len(self._open) >= self._config.max_batch + self._config.max_queue:
                self._totals.refused += 1
                position = self._waiting() + 1
                raise EngineBusy(position, self._core.line.wait_seconds(position))
            self._open[request] = None
            self._arrived.append(request)
            self._changed.notify()

    def abandon(self, request: Request) -> None:
        """The caller has left: the request's slot is free before the next token."""
        if request.done:
            return
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
        core = self._core
        loaded = core is not None
        waiting = len(self._arrived) + (len(core.scheduler.waiting) if core else 0)
        return EngineStats(
            loaded=loaded,
            running=max(0, len(self._open) - waiting),
            waiting=waiting,
            slots=self._config.max_batch,
            totals=replace(self._totals),
            kv_cache_conversations=len(core.cache) if core else 0,
            kv_cache_bytes=core.cache.used if core else 0,
            load_seconds=self.ready.result().load_seconds if loaded else 0.0,
        )

    def _waiting(self) -> int:
        """How many of the open requests have no slots: all from the first on that does not fit,
        since nobody overtakes it. Each takes one for each of its replies."""
        free = self._config.max_batch
        for place, request in enumerate(self._open):
            free -= len(request.replies)
            if free < 0:
                return len(self._open) - place
        return 0

    # The thread.

    def _live(self) -> None:
        reason: EngineError = EngineStopped("The server is shutting down.")
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        try:
            model = self._load()
            core = EngineCore(model, self._config, self._totals, self._emit, self._wake)
            self._core = core
            self.ready.set_result(model)
            while self._take_in(core):
                core.step(decode=self._is_time(core))
                for request in self._outbox.hand_over(len(core.scheduler.decoding)):
                    self._let_go(core, request)
        except EngineError as error:
            reason = error
        except Exception as error:  # every caller is told, and the log has the reason
            self._totals.crashes += 1
            logger.exception("the engine's thread failed; the next request starts a new one")
            reason = EngineStopped(
                f"The model stopped unexpectedly ({type(error).__name__}). Please try again."
            )
        self._die(reason)

    def _take_in(self, core: EngineCore) -> bool:
        """Wait until there is something to do; False when it is to end."""
        if core.is_idle:
            if not self._wait(QUIET_SECONDS):
                core.rest()
                self._wait()
        elif core.is_answering and (seconds := self._until_step(core)) > 0:
            self._wait(seconds)
        elif not self._has_news():
            return True
        with self._changed:
            while self._arrived:
                if not core.is_idle:
                    self._pace.met(monotonic())
                core.add(self._arrived.popleft())
            left, self._left = self._left, deque()
            closing = self._closing
        for request in left:
            self._let_go(core, request)
        return not closing

    def _wait(self, seconds: float | None = None) -> bool:
        """Until there is news, or so long; whether there is."""
        with self._changed:
            return self._changed.wait_for(self._has_news, seconds)

    def _wake(self) -> None:
        """From the second thread: a prompt is in."""
        with self._changed:
            self._changed.notify()

    def _has_news(self) -> bool:
        has_prompt = self._core is not None and self._core.has_prompt
        return bool(self._arrived or self._left or self._closing or has_prompt)

    def _until_step(self, core: EngineCore) -> float:
        """Seconds until replies go on, negative when they are late; those that come until then have
        their prompts run."""
        now = monotonic()
        free = 1 - core.scheduler.running / core.scheduler.slots
        beside_prompts = core.step_seconds if core.is_joined else 0.0
        return self._stepped_at + self._pace.gap(now, free, beside_prompts) - now

    def _is_time(self, core: EngineCore) -> bool:
        """Whether replies go on now; then the wait for the next step begins."""
        if self._until_step(core) > 0:
            return False
        self._stepped_at = monotonic()
        return True

    def _let_go(self, core: EngineCore, request: Request) -> None:
        if core.abandon(request):
            self._outbox.drop(request)
            with self._changed:
                self._open.pop(request, None)

    def _emit(self, request: Request, item: Item) -> None:
        self._outbox.put(request, item)
        if isinstance(item, Finished):
            with self._changed:
                self._open.pop(request, None)

    def _die(self, reason: EngineError) -> None:
        with self._changed:
            self.dead = True
            core, self._core = self._core, None
            requests, self._open = self._open, {}
            self._arrived.clear()
        for request in requests:
            request.done = True
            self._outbox.put(request, _copy_of(reason))
        self._outbox.hand_over_all()
        atexit.unregister(self.close)
        if core is None:
            self.ready.set_exception(reason)
        else:
            core.close()


def _copy_of(reason: EngineError) -> EngineError:
    # Each caller raises its own: one exception raised in many tasks collects all their tracebacks.
    return type(reason)(*reason.args)
