"""A websocket client of a running server, made with a library that none of us wrote."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect

from tests.servers import Server

PATIENCE = 30.0

Frame = dict[str, Any]


def open_socket(server: Server, conversation: str, cookie: str, **options: Any) -> connect:
    headers = {"Cookie": cookie, **options.pop("headers", {})}
    return connect(
        f"{server.websocket_url}/ws/c/{conversation}/", additional_headers=headers, **options
    )


async def until(socket: ClientConnection, kind: str) -> list[Frame]:
    frames: list[Frame] = []
    async with asyncio.timeout(PATIENCE):
        while not frames or frames[-1]["type"] != kind:
            frames.append(json.loads(await socket.recv()))
    return frames


async def say(socket: ClientConnection, text: str, client_id: str | None = None) -> None:
    frame = {"type": "message.send", "client_id": client_id or str(uuid4()), "text": text}
    await socket.send(json.dumps(frame))


def joined(frames: list[Frame]) -> str:
    """The text of the token frames among these."""
    return "".join(frame["text"] for frame in frames if frame["type"] == "reply.token")
