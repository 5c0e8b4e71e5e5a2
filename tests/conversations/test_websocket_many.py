"""Many conversations at once, with the real model: nothing is lost, doubled or mixed up."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from conversations.models import Conversation, Message, Role, Status
from conversations.services.rooms import Rooms
from tests.conversations.sockets import Browser, Frame, Socket

pytestmark = pytest.mark.postgres

CONVERSATIONS = 6
MESSAGES = 8


async def chat(socket: Socket, chance: random.Random) -> list[str]:
    """Send messages without waiting for the replies, and stop some of these."""
    client_ids = []
    for place in range(MESSAGES):
        client_ids.append(await socket.say(f"Message number {place}"))
        if chance.random() < 0.3:
            await socket.say(f"Message number {place}", client_ids[-1])
    return client_ids


async def listen(socket: Socket, chance: random.Random) -> dict[str, list[Frame]]:
    """The frames of each reply, until all replies have ended."""
    replies: dict[str, list[Frame]] = defaultdict(list)
    ended = 0
    while ended < MESSAGES:
        frame = await socket.receive()
        assert frame["type"] != "error", frame
        if not frame["type"].startswith("reply."):
            continue
        replies[frame["message_id"]].append(frame)
        ended += frame["type"] == "reply.end"
        if frame["type"] == "reply.start" and chance.random() < 0.2:
            await socket.send("reply.stop", message_id=frame["message_id"])
    return replies


async def one(browser: Browser, conversation: Conversation, number: int) -> None:
    chance = random.Random(number)
    async with browser.open(conversation) as tab, browser.open(conversation) as other:
        client_ids, mine, theirs = await asyncio.gather(
            chat(tab, chance), listen(tab, chance), listen(other, random.Random(number + 100))
        )
    questions = [m async for m in Message.objects.filter(conversation=conversation, role=Role.USER)]
    assert [str(question.client_id) for question in questions] == client_ids
    rows = [m async for m in Message.objects.filter(conversation=conversation, role=Role.BOT)]
    assert [str(row.pk) for row in rows] == list(mine) == list(theirs)
    for row in rows:
        assert row.status in {Status.COMPLETE, Status.STOPPED}
        for frames in (mine[str(row.pk)], theirs[str(row.pk)]):
            tokens = [frame for frame in frames if frame["type"] == "reply.token"]
            assert [token["seq"] for token in tokens] == list(range(1, len(tokens) + 1))
            assert "".join(token["text"] for token in tokens) == frames[-1]["text"] == row.text
            assert frames[-1]["type"] == "reply.end"
            assert frames[-1]["status"] == row.status
            assert len(tokens) == len(row.token_ends)


async def test_many_conversations_at_once(
    browser: Browser, rooms: Rooms, settings: Settings
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"message_rate": "1000/second"})
    start = sync_to_async(browser.start)
    conversations = [await start() for _ in range(CONVERSATIONS)]
    async with asyncio.TaskGroup() as group:
        for number, conversation in enumerate(conversations):
            group.create_task(one(browser, conversation, number))
    assert not rooms.replies
