"""What the tests of the chat share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from conversations.models import Conversation, Persona
from conversations.services import limits
from conversations.services.rooms import Rooms
from tests.conversations.sockets import Browser
from tests.fakes import FakeEngine


@pytest.fixture
def persona(db: None) -> Persona:
    return Persona.objects.create(
        name="Brenda",
        lines=["I drive a night bus.", "My cat hates boats."],
        color="#336699",
        emblem="🚌",
        source="test",
        digest="brenda",
    )


@pytest.fixture
def browser(transactional_db: None, persona: Persona) -> Browser:
    limits.limiter.cache_clear()
    return Browser()


@pytest.fixture
def conversation(browser: Browser) -> Conversation:
    return browser.start()


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr("conversations.services.generation.engine", lambda: fake)
    return fake


@pytest_asyncio.fixture
async def rooms() -> AsyncIterator[Rooms]:
    """The rooms of the test's event loop; whatever still runs in it at the end is ended, as by
    a server."""
    yield Rooms.here()
    running = asyncio.all_tasks() - {asyncio.current_task()}
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
