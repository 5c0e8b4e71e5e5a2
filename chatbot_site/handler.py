"""Django under ASGI, with one change of threads for each request.

Every middleware here and most views are synchronous. In an asynchronous request Django goes to a
thread and back for each half of each middleware, which for a page took longer than the page. So all
but static files is one synchronous call; an asynchronous view in it runs in the event loop still.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import nullcontext
from typing import IO, Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.decorators import sync_and_async_middleware
from servestatic.middleware import ServeStaticMiddleware

# So many requests by these methods run at once: none of them waits for the model. Django has a
# thread for each; when hundreds come together, their threads leave the event loop next to nothing.
READING_AT_ONCE = 4
READING = {"GET", "HEAD"}
# A server that is full is alive all the same, and has to say so in time.
PROBES = {"/healthz", "/readyz", "/metrics"}


class SiteHandler(ASGIHandler):
    """What `django.core.asgi.get_asgi_application` returns, but for the change of threads."""

    def __init__(self) -> None:
        super().__init__()
        self._synchronous = BaseHandler()
        self._synchronous.load_middleware()
        self._reading = asyncio.Semaphore(READING_AT_ONCE)

    def create_request(self, scope: Mapping[str, Any], body_file: IO[bytes]) -> Any:
        return super().create_request(_measured(scope, body_file), body_file)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        response = await self._answer(request)
        if request.method == "HEAD":
            _empty(response)
        return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(settings.STATIC_URL):
            return await super().get_response_async(request)
        in_turn = request.method in READING and request.path_info not in PROBES
        async with self._reading if in_turn else nullcontext():
            return await sync_to_async(self._synchronous.get_response)(request)


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


def _empty(response: HttpResponseBase) -> None:
    """Take the body away, as HEAD wants it; the headers, Content-Length among them, stay.

    The server drops only the first piece of a body. The client would take the others for the
    beginning of the next answer on its connection.
    """
    match response:
        case StreamingHttpResponse():
            # What was to be sent is closed together with the response.
            response.streaming_content = _nothing()
        case HttpResponse():
            response.content = b""


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield


@sync_and_async_middleware
def static_files(get_response: Any) -> Any:
    """Static files, where requests are asynchronous; elsewhere nobody asks for any."""
    return (
        ServeStaticMiddleware(get_response) if iscoroutinefunction(get_response) else get_response
    )
