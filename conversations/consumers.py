"""The websocket of a chat page: who is let in."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from conversations import metrics
from conversations.chat_socket import NOT_FOUND, ChatSocket, Reader, Receive
from conversations.flow import Outlet, Send
from conversations.selectors import conversation_for_reader
from conversations.services.database import db_read
from conversations.services.owners import client_address, owner_from_scope


async def chat_consumer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """ASGI application of `/ws/c/<uuid>/`. Who may not read the conversation is refused (403)."""
    await receive()  # websocket.connect
    identify = partial(db_read, _reader, scope, scope["url_route"]["kwargs"]["conversation_id"])
    reader = await identify()
    if reader is None:
        await send({"type": "websocket.close", "code": NOT_FOUND})
        return
    await send({"type": "websocket.accept"})
    with Outlet(send) as outlet, metrics.websocket_connections.track_inprogress():
        await ChatSocket(reader, identify, outlet).serve(receive)


async def refuse(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """ASGI application of every other websocket address."""
    await receive()
    await send({"type": "websocket.close", "code": NOT_FOUND})


def _reader(scope: dict[str, Any], conversation_id: UUID) -> Reader | None:
    owner = owner_from_scope(scope)
    conversation = conversation_for_reader(conversation_id=conversation_id, owner=owner)
    return Reader(conversation, owner, client_address(scope)) if conversation else None
