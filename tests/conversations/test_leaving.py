"""Who leaves while a message is being saved: it is answered all the same."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.test import AsyncRequestFactory
from rest_framework.authtoken.models import Token

from chatbot_site.routing import application
from conversations.models import UNFINISHED, Conversation, Message, Role, Status
from conversations.services.messages import Exchange, message_send
from tests.conversations.sockets import Browser
from tests.fakes import FakeEngine

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("rooms")]


class Saving:
    """Messages are saved once they may be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun, self._may = threading.Event(), threading.Event()
        monkeypatch.setattr("conversations.services.replies.message_send", self._save)

    def _save(self, **message: Any) -> Exchange:
        self._begun.set()
        assert self._may.wait(30)
        return message_send(**message)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, 30)

    def go_on(self) -> None:
        self._may.set()


@pytest.fixture
def saving(monkeypatch: pytest.MonkeyPatch) -> Saving:
    return Saving(monkeypatch)


Leave = Callable[[Browser, Conversation, Saving], Awaitable[None]]


async def leave_page(browser: Browser, conversation: Conversation, saving: Saving) -> None:
    secret = "c" * 32
    form = {"text": "Hello", "csrfmiddlewaretoken": secret}
    cookies = f"{browser.cookie}; csrftoken={secret}"
    await leave(f"/c/{conversation.pk}/send/", form, saving, cookies)


async def leave_api(browser: Browser, conversation: Conversation, saving: Saving) -> None:
    user = await User.objects.acreate(username="ada")
    await Conversation.objects.filter(pk=conversation.pk).aupdate(user=user)
    token = await Token.objects.acreate(user=user)
    await leave(
        f"/api/v1/conversations/{conversation.pk}/messages/",
        json.dumps({"text": "Hello"}),
        saving,
        content_type="application/json",
        headers={"Authorization": f"Bearer {token.key}"},
    )


async def leave_socket(browser: Browser, conversation: Conversation, saving: Saving) -> None:
    async with browser.open(conversation) as socket:
        await socket.say("Hello")
        await saving.begun()
        # What the server does to one that takes too long after its browser is gone.
        serving = socket.communicator.future
        serving.cancel()
        await asyncio.wait([serving])


async def leave(path: str, body: Any, saving: Saving, cookies: str = "", **request: Any) -> None:
    factory = AsyncRequestFactory()
    factory.cookies.load(cookies)
    asked = factory.post(path, body, **request)
    body = await sync_to_async(asked.read)()
    server: Any = ApplicationCommunicator(application, asked.scope)  # type: ignore[no-untyped-call]
    await server.send_input({"type": "http.request", "body": body})
    await saving.begun()
    await server.send_input({"type": "http.disconnect"})
    await asyncio.wait([server.future])


@pytest.mark.parametrize("left", [leave_page, leave_api, leave_socket])
async def test_what_is_saved_is_answered(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    saving: Saving,
    left: Leave,
) -> None:
    fake_engine.play("Hello there.")
    await left(browser, conversation, saving)
    saving.go_on()
    replies = Message.objects.filter(role=Role.BOT).exclude(status__in=UNFINISHED)
    async with asyncio.timeout(10):
        while not (reply := await replies.afirst()):
            await asyncio.sleep(0.01)
    assert (reply.status, reply.text) == (Status.COMPLETE, "Hello there.")
