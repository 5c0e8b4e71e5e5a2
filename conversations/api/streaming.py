"""Replies as server-sent events (WHATWG HTML, "Server-sent events").

Each event's name is the `type` of the websocket frame with the same content, which is its data; a
token's id is its `seq`, so that a client that lost the stream asks for the rest with
`Last-Event-ID`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer

from conversations import protocol
from conversations.models import Status
from conversations.services.database import db_release
from conversations.services.events import ReplyEnded, ReplyToken
from conversations.services.replies import reply_stream

EVENT_STREAM = "text/event-stream"


class EventStreamRenderer(BaseRenderer):
    """Lets a client ask for an event stream; errors before the stream begins are JSON."""

    media_type = EVENT_STREAM
    format = "event-stream"
    charset = "utf-8"

    def render(self, data: Any, *_: Any, **__: Any) -> bytes:
        return json.dumps(data).encode()


def event_stream(
    *, reply_id: int, after_seq: int = 0, first: Iterable[str] = (), client_id: str | None = None
) -> StreamingHttpResponse:
    """A response that begins with the frames `first` and follows the reply to its end; `client_id`
    is that of the message which it answers.

    The reply goes on when the client leaves.
    """
    db_release()
    return stream_response(_events(reply_id, after_seq, first, client_id))


def stream_response(events: AsyncIterator[str]) -> StreamingHttpResponse:
    """A response of server-sent events, each passed on at once."""
    response = StreamingHttpResponse(events, content_type=f"{EVENT_STREAM}; charset=utf-8")
    response["Cache-Control"] = "no-store"
    # Else nginx collects them.
    response["X-Accel-Buffering"] = "no"
    return response


async def _events(
    reply_id: int, after_seq: int, first: Iterable[str], client_id: str | None
) -> AsyncIterator[str]:
    for frame in first:
        yield _event(frame)
    async with aclosing(reply_stream(reply_id=reply_id, after_seq=after_seq)) as events:
        async for event in events:
            if isinstance(event, ReplyEnded) and event.status == Status.FAILED:
                failure = protocol.reply_failure(event)
                yield _event(protocol.build_error(failure, client_id=client_id))
            number = event.seq if isinstance(event, ReplyToken) else None
            yield _event(protocol.build_reply(reply_id, event), number)


def _event(frame: str, number: int | None = None) -> str:
    name = json.loads(frame)["type"]
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {name}\ndata: {frame}\n\n"
