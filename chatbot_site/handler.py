"""Django under ASGI, with as few changes of threads as there can be.

Every middleware here and most views are synchronous. In an asynchronous request Django goes to a
thread and back for each half of each middleware, which for a page took longer than the page. So all
but static files is one synchronous call; an asynchronous view in it runs in the event loop still.

Of what is left, Django makes a thread for each request, with a connection to the database of its
own, and goes there three times. What only reads is done in one go, in a few threads that stay and
keep their connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import set_script_prefix
from django.utils.decorators import sync_and_async_middleware
from servestatic.middleware import ServeStaticMiddleware

from conversations.services.database import db_release

# So many requests by these methods run at once: none of them waits for the model. When hundreds
# come together, as many threads would leave the event loop next to nothing.
READING_AT_ONCE = 4
READING = {"GET", "HEAD"}
# A server that is full is alive all the same, and has to say so in time.
PROBES = {"/healthz", "/readyz", "/metrics"}


class SiteHandler(ASGIHandler):
    """What `django.core.asgi.get_asgi_application` returns, but for the changes of threads."""

    def __init__(self) -> None:
        super().__init__()
        self._synchronous = BaseHandler()
        self._synchronous.load_middleware()
        threads = ThreadPoolExecutor(READING_AT_ONCE, thread_name_prefix="page")
        self._read = sync_to_async(self._answer, thread_sensitive=False, executor=threads)

    def create_request(self, scope: Mapping[str, Any], body_file: IO[bytes]) -> Any:
        return super().create_request(_measured(scope, body_file), body_file)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if scope["method"] not in READING or path in PROBES or _is_static(path):
            await super().handle(scope, receive, send)
            return
        with suppress(RequestAborted):
            with await self.read_body(receive) as body:
                response = await self._read(scope, body)
            if response.streaming:
                await self._stream(response, receive, send)
            else:
                await self.send_response(response, send)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        if _is_static(request.path_info):
            response = await super().get_response_async(request)
        else:
            response = await sync_to_async(self._synchronous.get_response)(request)
        return _as_asked(request, response)

    def _answer(self, scope: Mapping[str, Any], body: IO[bytes]) -> HttpResponseBase:
        """In a thread that stays, so without Django's signals: at those it closes connections."""
        set_script_prefix(get_script_prefix(scope))
        try:
            request, refusal = self.create_request(scope, body)
            return (
                _as_asked(request, self._synchronous.get_response(request)) if request else refusal
            )
        finally:
            db_release()

    async def _stream(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Send what is still being made, for as long as somebody is there."""
        sending = asyncio.create_task(self.send_response(response, send))
        leaving = asyncio.create_task(receive())
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            leaving.cancel()
            sending.cancel()
            await asyncio.wait((sending, leaving))
            await sync_to_async(response.close)()


def _is_static(path: str) -> bool:
    return path.startswith(settings.STATIC_URL)


def _measured(scope: Mapping[str, Any], body: IO[bytes]) -> Mapping[str, Any]:
    """With the length of a body that came in chunks: without one it would be taken for empty, and
    for short enough."""
    if any(name == b"content-length" for name, _ in scope["headers"]):
        return scope
    size = body.seek(0, 2)
    body.seek(0)
    if not size:
        return scope
    return {**scope, "headers": [*scope["headers"], (b"content-length", b"%d" % size)]}


def _as_asked(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Without its body for HEAD; the headers, Content-Length among them, stay.

    The server drops only the first piece of a body. The client would take the others for the
    beginning of the next answer on its connection.
    """
    if request.method != "HEAD":
        return response
    match response:
        case StreamingHttpResponse():
            # What was to be sent is closed together with the response.
            response.streaming_content = _nothing()
        case HttpResponse():
            response.content = b""
    return response


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield


@sync_and_async_middleware
def static_files(get_response: Any) -> Any:
    """Static files, where requests are asynchronous; elsewhere nobody asks for any."""
    return (
        ServeStaticMiddleware(get_response) if iscoroutinefunction(get_response) else get_response
    )
