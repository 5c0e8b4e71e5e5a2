"""How many requests Django answers at once, and what is left of the answer to HEAD."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import AsyncRequestFactory

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


def ask(handler: SiteHandler, method: str, path: str) -> Any:
    """A server's end of a request that has been sent."""
    scope = AsyncRequestFactory().generic(method, path).scope
    return ApplicationCommunicator(handler, scope)  # type: ignore[no-untyped-call]


async def test_pages_take_turns_and_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, crossing = SiteHandler(), Crossing()
    monkeypatch.setattr(handler._synchronous, "get_response", crossing)

    async def answer(method: str, path: str) -> int:
        server = ask(handler, method, path)
        await server.send_input({"type": "http.request"})
        status: int = (await server.receive_output(timeout=30))["status"]
        await server.wait(timeout=30)
        return status

    tasks = [
        asyncio.create_task(answer("GET", "/conversations/")) for _ in range(READING_AT_ONCE + 3)
    ]
    await begun(crossing, READING_AT_ONCE)
    tasks += [
        asyncio.create_task(answer("GET", "/healthz")),
        asyncio.create_task(answer("POST", "/sms/incoming/")),
    ]
    await begun(crossing, READING_AT_ONCE + 2)
    assert crossing.inside == READING_AT_ONCE + 2
    crossing.open.set()
    assert await asyncio.gather(*tasks) == [200] * len(tasks)
    assert crossing.inside == len(tasks)


async def test_what_is_streamed_ends_when_its_reader_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = asyncio.Event()

    async def pieces() -> AsyncGenerator[bytes]:
        try:
            yield b"one"
            await asyncio.sleep(30)
        finally:
            left.set()

    handler = SiteHandler()
    monkeypatch.setattr(
        handler._synchronous, "get_response", lambda _: StreamingHttpResponse(pieces())
    )
    server = ask(handler, "GET", "/api/v1/events/")
    await server.send_input({"type": "http.request"})
    assert (await server.receive_output())["status"] == 200
    assert (await server.receive_output())["body"] == b"one"
    await server.send_input({"type": "http.disconnect"})
    await server.wait(timeout=10)
    assert left.is_set()


async def test_a_stream_that_fails_is_not_taken_for_a_whole_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        yield b"one"
        raise LookupError

    handler = SiteHandler()
    monkeypatch.setattr(
        handler._synchronous, "get_response", lambda _: StreamingHttpResponse(pieces())
    )
    server = ask(handler, "GET", "/api/v1/events/")
    await server.send_input({"type": "http.request"})
    with pytest.raises(LookupError):
        await server.wait(timeout=10)


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
    server = ask(handler, "HEAD", "/")
    await server.send_input({"type": "http.request"})
    start = await server.receive_output()
    assert (b"Content-Length", b"200000") in start["headers"]
    more = True
    while more:
        piece = await server.receive_output()
        assert not piece.get("body")
        more = piece.get("more_body", False)
    await server.wait()


async def test_head_of_a_static_file_that_is_not_there_has_no_body() -> None:
    server = ask(SiteHandler(), "HEAD", "/static/nowhere.css")
    await server.send_input({"type": "http.request"})
    assert (await server.receive_output())["status"] == 404
    assert not (await server.receive_output()).get("body")
    await server.wait()
