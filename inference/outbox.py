"""What the engine's thread has for its callers, until their event loops are told.

One call per loop tells all of it. How a reply begins and all news do not wait; the tokens of many
replies at once come several together, still more often than an eye can tell: what is done with a
piece of text, a frame of a websocket most of all, costs more than its tokens did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic

from inference.request import Item, Request

# Seconds between two hand-overs of tokens: of one reply, half as long as a display shows a picture,
# and more for each other. Waking the caller's thread after every step takes a lone chat of a small
# model a tenth of its speed.
PACE_OF_ONE = 0.008
PACE_OF_EACH_OTHER = 0.004
SLOWEST_PACE = 0.04
# One token may show nothing yet: the word that it begins is told when it is whole.
FIRST_TOKENS = 3

Delivery = tuple[Request, list[Item]]


class Outbox:
    """Belongs to the engine's thread."""

    def __init__(self) -> None:
        self._items: dict[Request, list[Item]] = {}
        self._at_once: set[Request] = set()
        self._due = 0.0

    def put(self, request: Request, item: Item) -> None:
        self._items.setdefault(request, []).append(item)
        if not isinstance(item, int):
            self._at_once.add(request)
        elif request.begun < FIRST_TOKENS:
            request.begun += 1
            self._at_once.add(request)

    def drop(self, request: Request) -> None:
        """Its caller has left."""
        self._items.pop(request, None)
        self._at_once.discard(request)

    def hand_over(self, replies: int) -> list[Request]:
        """After a step of so many replies: what does not wait, and everything when it is time.

        Returns the requests whose event loop is closed, and their callers with it.
        """
        now = monotonic()
        if now < self._due:
            return self._deliver(self._at_once)
        pace = min(SLOWEST_PACE, max(PACE_OF_ONE, PACE_OF_EACH_OTHER * (replies - 1)))
        self._due = now + pace
        return self.hand_over_all()

    def hand_over_all(self) -> list[Request]:
        return self._deliver(list(self._items))

    def _deliver(self, requests: Iterable[Request]) -> list[Request]:
        of_loops: dict[asyncio.AbstractEventLoop, list[Delivery]] = {}
        for request in requests:
            of_loops.setdefault(request.loop, []).append((request, self._items.pop(request)))
        self._at_once.clear()
        closed: list[Request] = []
        for loop, deliveries in of_loops.items():
            try:
                loop.call_soon_threadsafe(_receive, deliveries)
            except RuntimeError:
                closed += [request for request, _ in deliveries]
        return closed


def _receive(deliveries: list[Delivery]) -> None:
    for request, items in deliveries:
        request.receive(items)
