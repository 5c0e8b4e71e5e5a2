"""The OpenAI-compatible surface, so that existing clients can talk to the model.

`POST /v1/chat/completions` and `GET /v1/models` as in OpenAI's API reference, with one field more:
`persona`, a character's id or its lines. Nothing is stored here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.http import StreamingHttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.api.base import ApiView, Nowhere
from conversations.api.completion_request import ChatRequest
from conversations.api.errors import error_response
from conversations.api.stops import Stops
from conversations.api.streaming import stream_response
from conversations.services.database import db_wait
from conversations.services.engine import bundle, engine
from conversations.services.errors import ServiceError
from conversations.services.limits import message_limit
from inference.engine import Delta, Finished
from inference.errors import EngineBusy, EngineError, EngineStopped, PromptTooLong
from inference.events import Event


class _BodyDecides(DefaultContentNegotiation):
    """`stream` in the body says what comes back, and `Accept` nothing, as in OpenAI's API."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class OpenAiView(ApiView):
    """Errors in the shape that OpenAI's clients read."""

    schema = None
    content_negotiation_class = _BodyDecides

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        return _error_response


class ModelList(OpenAiView):
    def get(self, request: Request) -> Response:
        return Response({"object": "list", "data": [_model()]})


class ModelDetail(OpenAiView):
    def get(self, request: Request, model: str) -> Response:
        if model != bundle().name:
            raise ServiceError("not_found", f"There is no model {model}; /v1/models lists it.")
        return Response(_model())


class OpenAiNowhere(OpenAiView, Nowhere):
    """An address that does not exist."""

    advice = "there are /v1/chat/completions and /v1/models."


class ChatCompletions(OpenAiView):
    def post(self, request: Request) -> Response | StreamingHttpResponse:
        message_limit(owner=self.owner, address=self.address)
        asked = ChatRequest.of(request.data)
        completion = Completion(asked)
        if asked.stream:
            # Only what has been taken on is answered by a stream.
            db_wait(completion.begin)
            return stream_response(completion.stream())
        return Response(db_wait(completion.whole))


class Completion:
    """One answer: whole, or in chunks."""

    def __init__(self, asked: ChatRequest) -> None:
        self._asked = asked
        self._generated = engine().generate(asked.persona_lines(), asked.turns(), asked.sampling())
        self._first: Event | None = None
        self._deadline = 0.0
        self._reason, self._usage = "stop", dict[str, int]()
        self._head = {
            "id": f"chatcmpl-{uuid4().hex}",
            "created": int(time.time()),
            "model": bundle().name,
        }
        self._chunk_head = self._head | {"object": "chat.completion.chunk"}

    async def begin(self) -> None:
        """Wait until the engine has taken it on. Raises ServiceError when it does not."""
        self._deadline = asyncio.get_running_loop().time() + settings.ENV.reply_timeout
        try:
            self._first = await self._next()
        except EngineError as error:
            raise _service_error(error) from error

    async def whole(self) -> dict[str, Any]:
        await self.begin()
        text = ""
        try:
            async for piece in self._pieces():
                text += piece
        except EngineError as error:
            raise _service_error(error) from error
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": self._reason,
        }
        body = {"object": "chat.completion", "choices": [choice], "usage": self._usage}
        return self._head | body

    async def stream(self) -> AsyncGenerator[str]:
        """After `begin`."""
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            # A client that leaves closes this generator: the slot is free at once.
            async with aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    yield self._chunk({"content": piece})
            yield self._chunk({}, self._reason)
            if self._asked.includes_usage:
                yield _data(self._chunk_head | {"choices": [], "usage": self._usage})
        except EngineError as error:
            failure = _service_error(error)
            yield _data(_error_body(failure.detail, failure.code, failure.status))
        yield "data: [DONE]\n\n"

    async def _pieces(self) -> AsyncGenerator[str]:
        """The text up to where the request wants it to stop; how it ended is known afterwards.
        Raises EngineError."""
        stops = Stops(self._asked.stop)
        async with aclosing(self._generated):
            event = self._first
            # What comes after a stop sequence is not shown, but counts.
            while event is not None:
                match event:
                    case Delta() if not stops.found and (piece := stops.add(event.text)):
                        yield piece
                    case Finished():
                        if rest := stops.rest():
                            yield rest
                        is_whole = event.reason == "end" or stops.found
                        self._reason = "stop" if is_whole else "length"
                        self._usage = _usage(event)
                event = await self._next()

    async def _next(self) -> Event | None:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await anext(self._generated, None)
        except TimeoutError:
            raise EngineStopped("The reply took too long. Please try again.") from None

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _data(self._chunk_head | {"choices": [choice]})


def _usage(finished: Finished) -> dict[str, int]:
    return {
        "prompt_tokens": finished.prompt_tokens,
        "completion_tokens": finished.completion_tokens,
        "total_tokens": finished.prompt_tokens + finished.completion_tokens,
    }


def _model() -> dict[str, Any]:
    return {"id": bundle().name, "object": "model", "created": 0, "owned_by": "self-hosted"}


def _error_response(error: Exception, context: dict[str, Any]) -> Response | None:
    response = error_response(error, context)
    if response is not None:
        data, status = response.data, response.status_code
        response.data = _error_body(data["detail"], data["code"], status)
    return response


def _error_body(message: str, code: str, status: int) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


def _service_error(error: EngineError) -> ServiceError:
    if isinstance(error, PromptTooLong):
        return ServiceError("too_long", str(error))
    if isinstance(error, EngineBusy):
        return ServiceError("busy", str(error), retry_after=error.wait_seconds or 5)
    return ServiceError("engine_unavailable", str(error))


def _data(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
