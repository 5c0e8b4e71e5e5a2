"""How many requests Django answers at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import ThreadSensitiveContext
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from chatbot_site.handler import READING_AT_ONCE, SiteHandler


class Crossing:
    """A chain of views that lets nobody through until it is opened."""

    def __init__(self) -> None:
        self.inside = 0
        self.open = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with self._lock:
            self.inside += 1
        assert self.open.wait(30)
        return HttpResponse()


async def begun(crossing: Crossing, number: int) -> None:
    async with asyncio.timeout(10):
        while crossing.inside < number:
            await asyncio.sleep(0.01)


async def test_pages_take_turns_and_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, crossing, make = SiteHandler(), Crossing(), RequestFactory()
    monkeypatch.setattr(handler._synchronous, "get_response", crossing)

    async def answer(request: HttpRequest) -> int:
        async with ThreadSensitiveContext():  # a thread for each, as in a server
            return (await handler.get_response_async(request)).status_code

    pages = [make.get("/conversations/") for _ in range(READING_AT_ONCE + 3)]
    tasks = [asyncio.create_task(answer(page)) for page in pages]
    await begun(crossing, READING_AT_ONCE)
    others = make.get("/healthz"), make.post("/sms/incoming/")
    tasks += [asyncio.create_task(answer(other)) for other in others]
    await begun(crossing, READING_AT_ONCE + 2)
    assert crossing.inside == READING_AT_ONCE + 2
    crossing.open.set()
    assert await asyncio.gather(*tasks) == [200] * len(tasks)
    assert crossing.inside == len(tasks)
