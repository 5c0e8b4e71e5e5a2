"""The OpenAI-compatible surface, so that existing clients can talk to the model.

`POST /v1/chat/completions` and `GET /v1/models` as in OpenAI's API reference, with one field more:
`persona`, a character's id or its lines. Nothing is stored here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import uuid4

from django.conf import settings
from django.http import StreamingHttpResponse
from pydantic import BaseModel, Field, StrictStr, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.api.base import ApiView
from conversations.api.errors import error_response
from conversations.api.streaming import stream_response
from conversations.models import Persona
from conversations.services.database import db_release, db_wait
from conversations.services.engine import bundle, engine, sampling_params
from conversations.services.errors import ServiceError
from conversations.services.limits import message_limit
from conversations.services.personas import persona_random
from inference.engine import Delta, Finished
from inference.errors import EngineBusy, EngineError, EngineStopped, PromptTooLong
from inference.events import Event
from inference.params import TOP_K_LIMIT, SamplingParams
from inference.prompt import Turn

MAX_MESSAGES = 200
MAX_TOKENS = 256
Text = Annotated[StrictStr, Field(max_length=20_000)]


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text


class ChatRequest(BaseModel):
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    model: str = ""
    stream: bool = False
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    top_k: Annotated[int | None, Field(ge=1, le=TOP_K_LIMIT)] = None
    seed: Annotated[int | None, Field(ge=0, le=2**63 - 1)] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=MAX_TOKENS)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=MAX_TOKENS)] = None
    persona: (
        Annotated[int, Field(ge=1, lt=2**63)]
        | Annotated[list[Text], Field(min_length=1, max_length=12)]
        | None
    ) = None

    def sampling(self) -> SamplingParams:
        """The bundle's way to draw replies, with what the request says over it."""
        wanted: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "seed": self.seed,
            "max_tokens": self.max_completion_tokens or self.max_tokens,
        }
        return replace(
            sampling_params(),
            **{name: value for name, value in wanted.items() if value is not None},
        )

    def persona_lines(self) -> list[str]:
        """The lines asked for: given, of a character, of the system message, of anybody."""
        if isinstance(self.persona, list):
            return self.persona
        if self.persona is not None:
            found = Persona.objects.filter(is_active=True, pk=self.persona).first()
            if found is None:
                raise ServiceError("not_found", f"There is no character {self.persona}.")
            return found.prompt_lines
        given = [m.content for m in self.messages if m.role in {"system", "developer"}]
        lines = [line.strip() for text in given for line in text.splitlines() if line.strip()]
        return lines or persona_random().prompt_lines

    def turns(self) -> list[Turn]:
        turns = [
            Turn("person" if message.role == "user" else "bot", message.content)
            for message in self.messages
            if message.role in {"user", "assistant"}
        ]
        if not turns or turns[-1].speaker != "person":
            raise ServiceError("invalid", "messages: the last one must have the role user.")
        return turns


class OpenAiView(ApiView):
    """Errors in the shape that OpenAI's clients read."""

    schema = None

    def handle_exception(self, error: Exception) -> Response:
        response = error_response(error, self.get_exception_handler_context())
        if response is None:
            raise error
        response.exception = True
        kind = "server_error" if response.status_code >= 500 else "invalid_request_error"
        message, code = response.data["detail"], response.data["code"]
        response.data = {"error": {"message": message, "type": kind, "code": code, "param": None}}
        return response


class ModelList(OpenAiView):
    def get(self, request: Request) -> Response:
        model = {"id": bundle().name, "object": "model", "created": 0, "owned_by": "self-hosted"}
        return Response({"object": "list", "data": [model]})


class ChatCompletions(OpenAiView):
    def post(self, request: Request) -> Response | StreamingHttpResponse:
        message_limit(owner=self.owner, address=self.address)
        asked = _parse(request.data)
        completion = Completion(asked.persona_lines(), asked.turns(), asked.sampling())
        if asked.stream:
            db_release()
            return stream_response(completion.stream())
        return Response(db_wait(completion.whole))


class Completion:
    """One answer: whole, or in chunks."""

    def __init__(self, persona: list[str], turns: list[Turn], sampling: SamplingParams) -> None:
        self._generated = engine().generate(persona, turns, sampling)
        self.head = {
            "id": f"chatcmpl-{uuid4().hex}",
            "created": int(time.time()),
            "model": bundle().name,
        }

    async def whole(self) -> dict[str, Any]:
        text, reason, usage = "", "stop", {}
        try:
            async for event in self._events():
                match event:
                    case Delta():
                        text += event.text
                    case Finished():
                        reason, usage = _reason(event), _usage(event)
        except EngineError as error:
            raise _service_error(error) from error
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": reason,
        }
        return {**self.head, "object": "chat.completion", "choices": [choice], "usage": usage}

    async def stream(self) -> AsyncGenerator[str]:
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            # A client that leaves closes this generator: the slot is free at once.
            async with aclosing(self._events()) as events:
                async for event in events:
                    match event:
                        case Delta():
                            yield self._chunk({"content": event.text})
                        case Finished():
                            yield self._chunk({}, _reason(event))
        except EngineError as error:
            yield _data({"error": {"message": str(error), "type": "server_error"}})
        yield "data: [DONE]\n\n"

    async def _events(self) -> AsyncGenerator[Event]:
        """What the engine tells of it, for as long as a reply may take. Raises EngineError."""
        deadline = asyncio.get_running_loop().time() + settings.ENV.reply_timeout
        async with aclosing(self._generated) as events:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise EngineStopped("The reply took too long. Please try again.") from None
                yield event

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _data({**self.head, "object": "chat.completion.chunk", "choices": [choice]})


def _parse(data: object) -> ChatRequest:
    try:
        return ChatRequest.model_validate(data)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, mistake["loc"])) or "body"
        raise ServiceError("invalid", f"{place}: {mistake['msg']}.") from None


def _reason(finished: Finished) -> str:
    return "stop" if finished.reason == "end" else "length"


def _usage(finished: Finished) -> dict[str, int]:
    return {
        "prompt_tokens": finished.prompt_tokens,
        "completion_tokens": finished.completion_tokens,
        "total_tokens": finished.prompt_tokens + finished.completion_tokens,
    }


def _service_error(error: EngineError) -> ServiceError:
    if isinstance(error, PromptTooLong):
        return ServiceError("too_long", str(error))
    if isinstance(error, EngineBusy):
        return ServiceError("busy", str(error), retry_after=error.wait_seconds or 5)
    return ServiceError("engine_unavailable", str(error))


def _data(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
