"""What happens in a conversation, as the services tell it to the doors."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from conversations.models import Status


@dataclass(frozen=True, slots=True)
class ReplyQueued:
    """The reply waits for a place in the engine; `position` 1 is next."""

    position: int


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The reply is being generated."""


@dataclass(frozen=True, slots=True)
class ReplyToken:
    """A piece of the reply; `seq` counts from 1 without gaps."""

    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply is over and stored as it is here.

    `error_code` is set when `status` is failed: `busy`, `engine_unavailable` or `not_saved`. Then
    `retry_after` is the number of seconds after which another try makes sense, if that is known.
    """

    text: str
    status: Status
    error_code: str = ""
    retry_after: float | None = None


ReplyEvent = ReplyQueued | ReplyStarted | ReplyToken | ReplyEnded


@dataclass(frozen=True, slots=True)
class ReplyBegins:
    """A reply is on its way, waiting or being written: `reply_stream` tells the rest."""

    reply_id: int


@dataclass(frozen=True, slots=True)
class MessageSaved:
    """A person's message was saved."""

    message_id: int
    client_id: UUID
    text: str


@dataclass(frozen=True, slots=True)
class ConversationReset:
    """The conversation goes on as another one."""

    conversation_id: UUID


RoomEvent = ReplyBegins | MessageSaved | ConversationReset
