"""Requests that wait for the model leave PostgreSQL's few connections to others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections
from django.http import HttpResponse
from django.test import AsyncClient

from conversations.models import Conversation
from tests.conversations.sockets import Browser
from tests.fakes import FakeEngine

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.usefixtures("rooms"),
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no pool"),
]


@pytest.fixture
def client(browser: Browser, conversation: Conversation) -> AsyncClient:
    """Of a user whose the conversation is, for the pages and the API alike."""
    user = User.objects.create_user("ada")
    Conversation.objects.filter(pk=conversation.pk).update(user=user)
    client = AsyncClient()
    client.force_login(user)
    return client


def connections_taken() -> int:
    stats = connection.pool.get_stats()  # type: ignore[attr-defined]
    return int(stats["pool_size"] - stats["pool_available"])


async def ask_page(client: AsyncClient, conversation: Conversation) -> Any:
    return await client.post(f"/c/{conversation.pk}/send/", {"text": "Hello"})


async def ask_api(client: AsyncClient, conversation: Conversation, **headers: str) -> Any:
    return await client.post(
        f"/api/v1/conversations/{conversation.pk}/messages/",
        {"text": "Hello"},
        content_type="application/json",
        headers=headers,
    )


async def ask_stream(client: AsyncClient, conversation: Conversation) -> Any:
    response = await ask_api(client, conversation, Accept="text/event-stream")
    async for _ in response.streaming_content:
        pass
    return response


async def ask_model(client: AsyncClient, conversation: Conversation) -> Any:
    body = {"messages": [{"role": "user", "content": "Hello"}], "persona": ["I am Otto."]}
    return await client.post("/v1/chat/completions", body, content_type="application/json")


@pytest.mark.parametrize("ask", [ask_page, ask_api, ask_stream, ask_model])
async def test_who_waits_holds_no_connection(
    client: AsyncClient,
    conversation: Conversation,
    fake_engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[AsyncClient, Conversation], Any],
) -> None:
    monkeypatch.setattr("conversations.api.completions.engine", lambda: fake_engine)
    go_on = asyncio.Event()
    fake_engine.play("Hello", go_on, ".")
    await sync_to_async(connections.close_all)()  # what earlier requests of the thread left
    before = connections_taken()
    request = asyncio.create_task(ask(client, conversation))
    while not fake_engine.calls:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(10):  # what begins the reply may still have one
        while connections_taken() > before:
            await asyncio.sleep(0.01)
    go_on.set()
    response: HttpResponse = await request
    assert response.status_code in {200, 201, 302}
