"""Those who wait for a slot: what they are told, and how long it will take."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from inference.events import Queued
from inference.request import Reply, Request
from inference.scheduler import Scheduler

# Weight of the newest reply in the running mean that waiting times are estimated from.
SMOOTHING = 0.1
# Those who wait hear of their place this often; a newcomer at once.
POSITION_SECONDS = 0.5


class WaitingLine:
    """Tells the requests that wait in a scheduler's queue their places."""

    def __init__(
        self, scheduler: Scheduler[Reply], emit: Callable[[Request, Queued], None]
    ) -> None:
        self.has_newcomers = self.has_moved = False
        self._scheduler = scheduler
        self._emit = emit
        self._slot_seconds: float | None = None
        self._told_at = 0.0

    def wait_seconds(self, position: int) -> float | None:
        """Until the request at a position has a slot: one is free every mean duration / slots."""
        mean = self._slot_seconds
        return None if mean is None else position * mean / self._scheduler.slots

    def ended(self, slot_seconds: float) -> None:
        """A request has ended that held its slots for so long, all of them together."""
        mean = self._slot_seconds
        change = 0.0 if mean is None else SMOOTHING * (slot_seconds - mean)
        self._slot_seconds = slot_seconds if mean is None else mean + change

    def tell(self) -> None:
        """Send places that have changed, to newcomers now and to all others when it is time."""
        now = monotonic()
        everybody = now - self._told_at >= POSITION_SECONDS
        if not (self.has_newcomers or everybody):
            return
        for position, reply in enumerate(self._scheduler.queue(), start=1):
            request = reply.request
            if request.position != position and (everybody or not request.position):
                request.position = position
                self._emit(request, Queued(position, self.wait_seconds(position)))
        self.has_newcomers = False
        if everybody:
            self.has_moved = False
            self._told_at = now
