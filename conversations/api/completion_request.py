"""What a request for a completion may say, in the shapes of OpenAI's API reference.

What it asks for and would not get is refused; fields that change nothing here, as `user`, are not
read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from conversations.selectors import personas_active
from conversations.services.engine import sampling_params
from conversations.services.errors import ServiceError
from conversations.services.persona_edits import MAX_LINES
from conversations.services.personas import persona_random
from inference.params import TOP_K_LIMIT, SamplingParams
from inference.prompt import Turn

MAX_MESSAGES = 200
MAX_TOKENS = 256
MAX_STOPS = 4
# What means the same as not being there.
_WITHOUT: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}


def _parts_joined(content: object) -> object:
    """Content may be a list of parts; those of text are one text."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if _is_text(part)]
    if len(texts) < len(content):
        raise ValueError("only parts of type text can be read")
    return "\n".join(texts)


def _is_text(part: object) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _listed(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop or []


Text = Annotated[StrictStr, Field(max_length=20_000)]
Stop = Annotated[StrictStr, Field(min_length=1, max_length=1_000)]


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[Text, BeforeValidator(_parts_joined)]


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    model: str | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: Annotated[list[Stop], Field(max_length=MAX_STOPS), BeforeValidator(_listed)] = []
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    top_k: Annotated[int | None, Field(ge=1, le=TOP_K_LIMIT)] = None
    seed: Annotated[int | None, Field(ge=0, le=2**63 - 1)] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=MAX_TOKENS)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=MAX_TOKENS)] = None
    persona: StrictInt | list[Text] | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_more_than_there_is(cls, data: object) -> object:
        for name, same in _WITHOUT.items():
            given = data.get(name) if isinstance(data, dict) else None
            if given is not None and given not in same:
                raise ValueError(f"{name} is not supported here; leave it out")
        return data

    @classmethod
    def of(cls, data: object) -> ChatRequest:
        """The request in a body. Raises ServiceError that names the field."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            mistake = error.errors(include_url=False, include_input=False)[0]
        if "persona" in mistake["loc"]:
            raise _invalid_persona()
        place = ".".join(map(str, mistake["loc"]))
        reason = mistake["msg"].removeprefix("Value error, ")
        raise ServiceError("invalid", f"{place}: {reason}." if place else f"{reason}.")

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with what it took."""
        return bool(self.stream_options and self.stream_options.include_usage)

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
            if not 1 <= len(self.persona) <= MAX_LINES:
                raise _invalid_persona()
            return self.persona
        if self.persona is not None:
            known = 0 < self.persona < 2**63
            found = personas_active().filter(pk=self.persona).first() if known else None
            if found is None:
                raise ServiceError("not_found", f"There is no character {self.persona}.")
            return found.prompt_lines
        given = [m.content for m in self.messages if m.role in {"system", "developer"}]
        lines = [line.strip() for text in given for line in text.splitlines() if line.strip()]
        if len(lines) > MAX_LINES:
            raise ServiceError(
                "invalid",
                f"messages: those of the system have {len(lines)} lines together; "
                f"at most {MAX_LINES} are possible.",
            )
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


def _invalid_persona() -> ServiceError:
    return ServiceError(
        "invalid", f"persona: write the number of a character, or 1 to {MAX_LINES} lines as texts."
    )
