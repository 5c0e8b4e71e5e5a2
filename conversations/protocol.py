"""The websocket protocol, version 1: frames from text and frames to text (`docs/protocol.md`)."""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring
from typing import Annotated, Any, Literal
from uuid import UUID

from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr
from pydantic import ValidationError as PydanticError

from conversations.models import UNFINISHED, Message, Role, Status
from conversations.services.errors import ServiceError
from conversations.services.events import (
    ConversationReset,
    MessageSaved,
    ReplyEnded,
    ReplyEvent,
    ReplyQueued,
    ReplyStarted,
    ReplyToken,
)
from conversations.services.live import LiveReply

PROTOCOL = 1
# In JSON a character takes at most 12 (an escaped pair of surrogates).
ESCAPED_CHARACTER = 12
FRAME_OVERHEAD = 2_000

_CLIENT_ID = re.compile(r'"client_id"\s*:\s*"([0-9a-fA-F-]{36})"')
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

MessageId = Annotated[StrictStr, Field(pattern=r"^[0-9]{1,18}$")]


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True)


class MessageSend(_Frame):
    type: Literal["message.send"]
    client_id: Annotated[StrictStr, Field(pattern=_UUID)]
    text: StrictStr

    @property
    def client_uuid(self) -> UUID:
        return UUID(self.client_id)


class ReplyStop(_Frame):
    type: Literal["reply.stop"]
    message_id: MessageId


class ReplyResume(_Frame):
    type: Literal["reply.resume"]
    message_id: MessageId
    after_seq: Annotated[StrictInt, Field(ge=0, le=1_000_000)]


class Reset(_Frame):
    type: Literal["conversation.reset"]


class Ping(_Frame):
    type: Literal["ping"]


ClientFrame = MessageSend | ReplyStop | ReplyResume | Reset | Ping
_FRAMES: dict[str, type[ClientFrame]] = {
    "message.send": MessageSend,
    "reply.stop": ReplyStop,
    "reply.resume": ReplyResume,
    "conversation.reset": Reset,
    "ping": Ping,
}


class FrameError(ServiceError):
    """A frame that is not understood; `client_id` is that of the frame, where it has one."""

    def __init__(self, code: str, detail: str, *, client_id: str | None = None) -> None:
        super().__init__(code, detail)
        self.client_id = client_id


class Unexpected(ServiceError):
    """An error of ours: code `busy`."""

    def __init__(self) -> None:
        super().__init__(
            "busy",
            "Something went wrong here, and it has been noted. Please try again.",
            retry_after=5,
        )


def parse_frame(text: str | None) -> ClientFrame:
    """A frame from the text of a websocket message, None for a binary one.

    Raises FrameError with the code `bad_json`, `unknown_type`, `invalid` or `too_long`.
    """
    if text is None:
        raise FrameError("bad_json", "Frames are JSON text, not binary data.")
    if len(text) > ESCAPED_CHARACTER * settings.ENV.message_max_length + FRAME_OVERHEAD:
        raise FrameError(
            "too_long",
            f"A message may have {settings.ENV.message_max_length:,} characters. "
            "Please shorten it or send it in parts.",
            client_id=_found_client_id(text),
        )
    frame = _parse_json(text)
    client_id = frame.get("client_id")
    client_id = client_id if isinstance(client_id, str) and re.match(_UUID, client_id) else None
    name = frame.get("type")
    model = _FRAMES.get(name) if isinstance(name, str) else None
    if model is None:
        raise FrameError(
            "unknown_type",
            f"The frame's type must be one of {', '.join(_FRAMES)}.",
            client_id=client_id,
        )
    try:
        return model.model_validate(frame)
    except PydanticError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, mistake["loc"]))
        raise FrameError("invalid", f"{field}: {mistake['msg']}.", client_id=client_id) from None


def _parse_json(text: str) -> dict[str, Any]:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        raise FrameError("bad_json", "The frame is not JSON.") from None
    if not isinstance(frame, dict):
        raise FrameError("bad_json", "A frame is a JSON object with a type.")
    return frame


def _found_client_id(text: str) -> str | None:
    """The client_id of a frame too long to be worth parsing."""
    found = _CLIENT_ID.search(text)
    return found[1] if found else None


def build_state(conversation_id: UUID, messages: list[Message], live: dict[int, LiveReply]) -> str:
    """`conversation.state`; of replies under way, what there is of them in this process."""
    return _dump(
        {
            "type": "conversation.state",
            "protocol": PROTOCOL,
            "conversation_id": str(conversation_id),
            "messages": [_message(message, live.get(message.pk)) for message in messages],
        }
    )


def _message(message: Message, live: LiveReply | None) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": str(message.pk),
        "role": message.role,
        "text": message.text,
        "status": message.status,
    }
    if message.client_id:
        item["client_id"] = str(message.client_id)
    item["last_seq"] = len(message.token_ends)
    if message.role == Role.BOT and message.status in UNFINISHED:
        pieces = live.take(0) if live else []
        item["text"] = "".join(pieces)
        item["last_seq"] = len(pieces)
        item["status"] = Status.STREAMING if live and live.started else Status.PENDING
    return item


def build_saved(event: MessageSaved, *, client_id: str | None = None) -> str:
    """`message.saved`: to its sender with the id as sent, to others with the text as well."""
    frame = {
        "type": "message.saved",
        "client_id": client_id or str(event.client_id),
        "message_id": str(event.message_id),
    }
    return _dump(frame if client_id else {**frame, "text": event.text})


def build_reset(event: ConversationReset) -> str:
    return _dump({"type": "conversation.reset", "conversation_id": str(event.conversation_id)})


def build_reply(reply_id: int, event: ReplyEvent) -> str:
    """The frame for an event of a reply."""
    match event:
        case ReplyToken(seq, text):
            # Most frames are these; put together by hand they cost a tenth.
            return (
                f'{{"type":"reply.token","message_id":"{reply_id}","seq":{seq},'
                f'"text":{encode_basestring(text)}}}'
            )
        case ReplyQueued(position):
            rest: dict[str, Any] = {"type": "reply.queued", "position": position}
        case ReplyStarted():
            rest = {"type": "reply.start"}
        case ReplyEnded(text, status):
            rest = {"type": "reply.end", "text": text, "status": status}
    return _dump({**rest, "message_id": str(reply_id)})


def reply_failure(ended: ReplyEnded) -> ServiceError:
    """What a person is told of a reply that failed."""
    details = {
        "busy": "So many people are chatting right now that this could not be answered. "
        "Please try again in a moment.",
        "not_saved": "The answer could not be saved, because the server's storage is not accepting "
        "anything right now. Please try again in a moment.",
        "engine_unavailable": "The answer could not be written, because the model is not "
        "available. Please try again.",
    }
    code = ended.error_code if ended.error_code in details else "engine_unavailable"
    return ServiceError(
        "busy" if code == "not_saved" else code, details[code], retry_after=ended.retry_after
    )


def build_error(error: ServiceError, *, client_id: str | None = None) -> str:
    frame: dict[str, Any] = {"type": "error", "code": error.code, "detail": error.detail}
    if client_id:
        frame["client_id"] = client_id
    if error.retry_after is not None:
        frame["retry_after"] = error.retry_after
    return _dump(frame)


def build_pong() -> str:
    return '{"type":"pong"}'


def _dump(frame: dict[str, Any]) -> str:
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
