"""What a person and the database get when a reply cannot be written."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from django.db import OperationalError, connection
from django.db.backends.signals import connection_created
from pytest_django import Settings

from conversations.metrics import REGISTRY
from conversations.models import Conversation, Message, Role, Status
from conversations.services.database import db_write
from conversations.services.rooms import Rooms
from inference.errors import BundleError, EngineBusy, EngineStopped, PromptTooLong
from tests.conversations.sockets import Browser
from tests.fakes import FakeEngine

pytestmark = pytest.mark.usefixtures("rooms")


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("error", "code", "retry_after"),
    [
        (EngineBusy(257, 3.4), "busy", 3),
        (EngineBusy(257, None), "busy", 5),
        (EngineStopped("The engine was closed."), "engine_unavailable", None),
        (BundleError("model.onnx: damaged."), "engine_unavailable", None),
        (PromptTooLong("too long"), "engine_unavailable", None),
        (ZeroDivisionError("a mistake of ours"), "engine_unavailable", None),
    ],
)
async def test_a_failing_engine_is_told_and_can_be_tried_again(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    error: Exception,
    code: str,
    retry_after: float | None,
) -> None:
    fake_engine.play("Well", error)
    fake_engine.play("Better", " now.")
    async with browser.open(conversation) as socket:
        client_id = await socket.say("Hello")
        told = await socket.next("error")
        failed = await socket.receive()
        row = await Message.objects.aget(role=Role.BOT)
        await socket.say("Hello", client_id)
        again = await socket.until("reply.end")

    assert (told["code"], told["client_id"]) == (code, client_id)
    assert told.get("retry_after") == retry_after
    assert failed == {
        "type": "reply.end",
        "message_id": str(row.pk),
        "text": "Well",
        "status": "failed",
    }
    assert (row.status, row.text, row.error_code) == (Status.FAILED, "Well", code)
    assert again[0]["type"] == "message.saved"
    assert again[-1] == {**failed, "text": "Better now.", "status": "complete"}
    row = await Message.objects.aget(role=Role.BOT)
    assert (row.status, row.text, row.error_code) == (Status.COMPLETE, "Better now.", "")
    assert await Message.objects.acount() == 2


@pytest.mark.postgres
async def test_a_failed_reply_that_staff_deleted_is_written_anew(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("Well", EngineStopped("The engine was closed."))
    fake_engine.play("Fine.")
    fake_engine.play("Hello to you.")
    async with browser.open(conversation) as socket:
        client_id = await socket.say("Hello")
        failed = await socket.next("reply.end")
        await socket.say("How are you?")
        await socket.next("reply.end")
        await Message.objects.filter(pk=failed["message_id"]).adelete()
        await socket.say("Hello", client_id)
        assert (await socket.receive())["type"] == "message.saved"
        end = await socket.next("reply.end")
    assert (end["text"], end["status"]) == ("Hello to you.", "complete")
    # It answers its message, not what was said after it.
    assert [turn.text for turn in fake_engine.calls[-1].turns] == ["Hello"]


async def test_nothing_private_is_logged(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake_engine.play("My secret", EngineStopped("The engine was closed."))
    with caplog.at_level(logging.INFO):
        async with browser.open(conversation) as socket:
            await socket.say("my number is 555-0100")
            end = await socket.next("reply.end")
    assert f"reply {end['message_id']}" in caplog.text
    assert "555-0100" not in caplog.text
    assert "My secret" not in caplog.text


async def test_a_stuck_engine_is_given_up(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine, settings: Settings
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"reply_timeout": 0.05})
    fake_engine.play("I", asyncio.Event())
    async with browser.open(conversation) as socket:
        await socket.say("Hello")
        assert (await socket.next("error"))["code"] == "engine_unavailable"
        end = await socket.receive()
        await fake_engine.calls[0].left.wait()
    assert (end["text"], end["status"]) == ("I", "failed")


@pytest.mark.postgres
async def test_the_end_of_the_process_interrupts_and_keeps_what_there_is(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine, rooms: Rooms
) -> None:
    fake_engine.play("I was just", asyncio.Event())
    fake_engine.play("Again.")
    async with browser.open(conversation) as socket:
        client_id = await socket.say("Hello")
        await socket.next("reply.token")
        room = rooms.get(conversation.pk)
        assert room
        assert room.worker
        room.worker.cancel()  # as the end of an event loop does
        assert (await socket.next("reply.end"))["status"] == "interrupted"
        row = await Message.objects.aget(role=Role.BOT)
        await socket.say("Hello", client_id)
        assert (await socket.next("reply.end"))["text"] == "Again."
    assert (row.status, row.text) == (Status.INTERRUPTED, "I was just")


@pytest.fixture
def only_sqlite() -> Iterator[None]:
    """Skips for other databases; afterwards the database is as it was."""
    if connection.vendor != "sqlite":
        pytest.skip("a state of SQLite's")
    yield
    asyncio.run(db_write(_as_usual))


def _stays_read_only(**_: object) -> None:
    """What becomes of every connection that is opened for writing, as with a file of that kind."""
    if threading.current_thread().name.startswith("database-write"):
        _read_only()


def _read_only() -> None:
    connection_created.connect(_stays_read_only)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")


def _full() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE filler (content BLOB)")
        cursor.execute("PRAGMA max_page_count = 1")  # no more than there are
        with suppress(OperationalError):
            while True:
                cursor.execute("INSERT INTO filler VALUES (zeroblob(4000))")
    connection.errors_occurred = False  # else a new connection would be opened, without the limit


def _as_usual() -> None:
    connection_created.disconnect(_stays_read_only)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = OFF")
        cursor.execute("PRAGMA max_page_count = 1073741823")
        cursor.execute("DROP TABLE IF EXISTS filler")


def replies_counted() -> Counter[str]:
    """What /metrics says of replies, by how they ended."""
    names = {status: {"status": status} for status in Status.values}
    total = "chatbot_replies_ended_total"
    return Counter(
        {status: int(REGISTRY.get_sample_value(total, by) or 0) for status, by in names.items()}
    )


@pytest.fixture(params=[_read_only, _full], ids=["read-only", "full"])
def break_storage(request: pytest.FixtureRequest, only_sqlite: None) -> Callable[[], None]:
    breaker: Callable[[], None] = request.param
    return breaker


async def test_without_storage_nothing_is_acknowledged(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    break_storage: Callable[[], None],
    settings: Settings,
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"message_max_length": 5000})
    async with browser.open(conversation) as socket:
        await db_write(break_storage)
        client_id = await socket.say("🚌" * 5000)
        error = await socket.receive()
        assert (error["type"], error["code"]) == ("error", "busy")
        assert (error["client_id"], error["retry_after"]) == (client_id, 5)
        assert await socket.usable()
        await db_write(_as_usual)
        await socket.say("Hello again", client_id)
        assert (await socket.next("message.saved"))["client_id"] == client_id
        await socket.next("reply.end", status="complete")


async def test_a_reply_that_cannot_be_stored_does_not_claim_to_be(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    only_sqlite: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pause = asyncio.Event()
    fake_engine.play("Hello", pause, " there")
    async with browser.open(conversation) as socket:
        client_id = await socket.say("Hi")
        await socket.next("reply.token")
        next_id = await socket.say("Are you there?")
        await socket.next("message.saved")
        await db_write(_read_only)
        before = replies_counted()
        pause.set()
        told = await socket.next("error")
        end = await socket.receive()
        # An alarm on failed replies goes off when the disk is full.
        assert replies_counted() == before + Counter(failed=1)
        waited = await socket.next("error")
        assert (await socket.receive())["status"] == "failed"
        assert await socket.usable()
        await db_write(_as_usual)
        row = await Message.objects.aget(pk=end["message_id"])
        while row.status == Status.STREAMING:
            await asyncio.sleep(0.05)
            await row.arefresh_from_db()
        await socket.say("Are you there?", next_id)
        await socket.next("reply.end", status="complete")

    assert (waited["code"], waited["client_id"]) == ("busy", next_id)
    assert (told["code"], told["client_id"]) == ("busy", client_id)
    assert end["status"] == "failed"
    assert (row.status, row.error_code) == (Status.FAILED, "not_saved")
    assert f"reply {row.pk} of conversation {conversation.pk} was not stored" in caplog.text
