"""How many requests Django answers at once, and what is left of the answer to HEAD."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory

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


def long_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"x" * 200_000, headers={"Content-Length": "200000"})


def download(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncGenerator[bytes]:
        while True:
            yield b"x"

    return StreamingHttpResponse(pieces(), headers={"Content-Length": "200000"})


@pytest.mark.parametrize("view", [long_page, download])
async def test_head_has_no_body_however_long_it_would_be(
    monkeypatch: pytest.MonkeyPatch, view: Callable[[HttpRequest], HttpResponseBase]
) -> None:
    handler = SiteHandler()
    monkeypatch.setattr(handler._synchronous, "get_response", view)
    asked = AsyncRequestFactory().head("/").scope
    server: Any = ApplicationCommunicator(handler, asked)  # type: ignore[no-untyped-call]
    await server.send_input({"type": "http.request"})
    start = await server.receive_output()
    assert (b"Content-Length", b"200000") in start["headers"]
    more = True
    while more:
        piece = await server.receive_output()
        assert not piece.get("body")
        more = piece.get("more_body", False)
    await server.wait()
