"""A browser for tests: a session cookie, and websockets through the real ASGI application."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth import SESSION_KEY as USER_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

from chatbot_site.routing import application
from conversations.models import Channel, Conversation, Persona
from conversations.services.conversations import conversation_start
from conversations.services.owners import SESSION_KEY, Owner

# A failing test should say so soon; a working one never waits this long.
PATIENCE = 20.0

Frame = dict[str, Any]


class Socket:
    """One websocket of a browser, used as an asynchronous context manager."""

    def __init__(self, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        self.communicator = WebsocketCommunicator(application, path, headers=headers)
        self.state: Frame = {}

    async def __aenter__(self) -> Self:
        connected, _ = await self.communicator.connect(timeout=PATIENCE)
        assert connected, "the socket was refused"
        self.state = await self.receive()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if not self.communicator.future.done():
            await self.communicator.disconnect(timeout=PATIENCE)

    async def send(self, kind: str, **fields: Any) -> None:
        await self.send_text(json.dumps({"type": kind, **fields}))

    async def send_text(self, text: str) -> None:
        await self.communicator.send_input({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self.communicator.send_input({"type": "websocket.receive", "bytes": data})

    async def say(self, text: str, client_id: str | None = None) -> str:
        """Send a message; returns its client_id."""
        client_id = client_id or str(uuid4())
        await self.send("message.send", client_id=client_id, text=text)
        return client_id

    async def receive(self) -> Frame:
        frame: Frame = await self.communicator.receive_json_from(timeout=PATIENCE)
        return frame

    async def until(self, kind: str, **fields: Any) -> list[Frame]:
        """All frames up to the first of a type, and with these values."""
        frames = []
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await self.receive()
                frames.append(frame)
                if frame["type"] == kind and fields.items() <= frame.items():
                    return frames

    async def next(self, kind: str, **fields: Any) -> Frame:
        """The first frame of a type, and with these values."""
        return (await self.until(kind, **fields))[-1]

    async def usable(self) -> bool:
        """Whether the socket answers, and with nothing else before."""
        await self.send("ping")
        return await self.receive() == {"type": "pong"}


class Browser:
    """A browser with a session of its own, signed in if a user is given. Make it in sync code."""

    def __init__(self, user: User | None = None) -> None:
        session = SessionStore()
        session[SESSION_KEY] = key = uuid4().hex
        if user:
            session[USER_KEY] = str(user.pk)
            session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
            session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        self.owner = Owner(user=user, browser_key=key)
        self.cookie = f"{settings.SESSION_COOKIE_NAME}={session.session_key}"

    def start(self, persona: Persona | None = None) -> Conversation:
        return conversation_start(channel=Channel.WEB, owner=self.owner, persona=persona)

    def open(
        self, conversation: Conversation | str, *, origin: str | None = "http://testserver"
    ) -> Socket:
        pk = conversation.pk if isinstance(conversation, Conversation) else conversation
        headers = [(b"host", b"testserver"), (b"cookie", self.cookie.encode())]
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        return Socket(f"/ws/c/{pk}/", headers)


def joined(frames: list[Frame]) -> str:
    """The text of the token frames among these."""
    return "".join(frame["text"] for frame in frames if frame["type"] == "reply.token")
