"""The websocket protocol, frame by frame, through the real ASGI application."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from conversations.models import Conversation, Message, Persona, Role, Status
from conversations.services.rooms import Rooms
from inference.events import Queued
from tests.conversations.sockets import PATIENCE, Browser, joined
from tests.fakes import FakeEngine

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("rooms")]


async def test_a_message_is_saved_then_answered_token_by_token(
    browser: Browser, conversation: Conversation
) -> None:
    async with browser.open(conversation) as socket:
        assert socket.state == {
            "type": "conversation.state",
            "protocol": 1,
            "conversation_id": str(conversation.pk),
            "messages": [],
        }
        client_id = await socket.say("Hello, who are you?")
        frames = await socket.until("reply.end")

    saved, start, *tokens, end = frames
    question = await Message.objects.aget(pk=saved["message_id"])
    assert saved == {
        "type": "message.saved",
        "client_id": client_id,
        "message_id": str(question.pk),
    }
    assert (question.text, question.client_id) == ("Hello, who are you?", UUID(client_id))
    reply = await Message.objects.aget(reply_to=question)
    assert start == {"type": "reply.start", "message_id": str(reply.pk)}
    assert [token["seq"] for token in tokens] == list(range(1, len(tokens) + 1))
    assert end == {
        "type": "reply.end",
        "message_id": str(reply.pk),
        "text": joined(frames),
        "status": "complete",
    }
    assert reply.text == end["text"]
    assert reply.text.strip()


async def test_a_reply_is_stored_with_how_it_came_about(
    browser: Browser, conversation: Conversation
) -> None:
    async with browser.open(conversation) as socket:
        await socket.say("Do you have a cat?")
        frames = await socket.until("reply.end")

    reply = await Message.objects.aget(conversation=conversation, role=Role.BOT)
    assert reply.status == Status.COMPLETE
    assert len(reply.token_ends) == sum(frame["type"] == "reply.token" for frame in frames)
    assert reply.token_ends[-1] == len(reply.text)
    assert all(a < b for a, b in pairwise([0, *reply.token_ends]))
    assert reply.bundle
    assert isinstance(reply.sampling["seed"], int)
    assert reply.prompt_tokens
    assert reply.completion_tokens
    assert reply.queued_ms is not None
    assert reply.first_token_ms is not None
    assert reply.duration_ms is not None
    assert reply.first_token_ms <= reply.duration_ms
    assert reply.started_at
    assert reply.finished_at


async def test_the_state_holds_what_was_said(browser: Browser, conversation: Conversation) -> None:
    async with browser.open(conversation) as socket:
        client_id = await socket.say("Hello")
        frames = await socket.until("reply.end")
    async with browser.open(conversation) as socket:
        question, reply = socket.state["messages"]

    assert question == {
        "id": frames[0]["message_id"],
        "role": "user",
        "text": "Hello",
        "status": "complete",
        "client_id": client_id,
        "last_seq": 0,
    }
    assert reply == {
        "id": frames[-1]["message_id"],
        "role": "bot",
        "text": frames[-1]["text"],
        "status": "complete",
        "last_seq": frames[-2]["seq"],
    }


async def test_the_state_of_a_long_conversation_has_its_end(
    browser: Browser, conversation: Conversation
) -> None:
    said = [
        Message(conversation=conversation, role=Role.USER, text="🚌" * 1000) for _ in range(600)
    ]
    await Message.objects.abulk_create(said)
    newest = await Message.objects.alast()
    async with browser.open(conversation) as socket:
        messages = socket.state["messages"]
    assert newest
    assert messages[-1]["id"] == str(newest.pk)
    assert 100 <= len(messages) < 600
    assert len(json.dumps(socket.state, ensure_ascii=False).encode()) < 1_000_000


@pytest.mark.parametrize(
    ("name", "lines", "told"),
    [
        ("Koen Zupan", ["I sing."], ["My name is Koen.", "I sing."]),
        ("Dr. Olga", ["I sing."], ["My name is Dr. Olga.", "I sing."]),
        ("Brenda", ["Well, my name is Olga."], ["Well, my name is Olga."]),
    ],
)
async def test_a_character_knows_its_name(
    browser: Browser,
    conversation: Conversation,
    fake_engine: FakeEngine,
    name: str,
    lines: list[str],
    told: list[str],
) -> None:
    await Persona.objects.filter(pk=conversation.persona_id).aupdate(name=name, lines=lines)
    fake_engine.play("Hm", ".")
    async with browser.open(conversation) as socket:
        await socket.say("Who are you?")
        await socket.until("reply.end")
    assert list(fake_engine.calls[0].persona) == told


async def test_the_character_and_what_was_said_reach_the_engine(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("I do", ".")
    async with browser.open(conversation) as socket:
        await socket.say("Do you drive?")
        await socket.until("reply.end")
        await socket.say("What?")
        await socket.until("reply.end")

    first, second = fake_engine.calls
    assert list(second.persona) == [
        f"My name is {conversation.persona.name}.",
        "I drive a night bus.",
        "My cat hates boats.",
    ]
    assert [(turn.speaker, turn.text) for turn in second.turns] == [
        ("person", "Do you drive?"),
        ("bot", "I do."),
        ("person", "What?"),
    ]
    assert first.cache_key == second.cache_key
    assert first.params.seed != second.params.seed


async def test_the_same_client_id_never_generates_twice(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    async with browser.open(conversation) as socket:
        client_id = await socket.say("Hello")
        first = await socket.until("reply.end")
        await socket.say("Hello", client_id)
        again = await socket.receive()
        assert await socket.usable()

    assert again == first[0]
    assert len(fake_engine.calls) == 1
    assert await Message.objects.acount() == 2


async def test_two_tabs_that_send_the_same_message_at_once_generate_once(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    client_id = str(uuid4())
    async with browser.open(conversation) as one, browser.open(conversation) as two:
        await asyncio.gather(one.say("Hello", client_id), two.say("Hello", client_id))
        frames = await asyncio.gather(one.until("reply.end"), two.until("reply.end"))

    ids = {f["message_id"] for got in frames for f in got if f["type"] == "message.saved"}
    assert len(ids) == 1
    assert len(fake_engine.calls) == 1
    assert await Message.objects.acount() == 2


async def test_another_tab_sees_the_question_and_the_reply(
    browser: Browser, conversation: Conversation
) -> None:
    async with browser.open(conversation) as one, browser.open(conversation) as two:
        client_id = await one.say("Hello")
        mine, theirs = await asyncio.gather(one.until("reply.end"), two.until("reply.end"))

    assert theirs[0] == {**mine[0], "text": "Hello"}
    assert theirs[0]["client_id"] == client_id
    assert theirs[-1] == mine[-1]
    assert joined(theirs) == mine[-1]["text"]


async def test_a_waiting_reply_says_its_place_in_the_line(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    pause = asyncio.Event()
    fake_engine.play(Queued(3, 1.5), pause, Queued(1, 0.5), "Hi")
    async with browser.open(conversation) as socket:
        await socket.say("Hello")
        first = await socket.next("reply.queued")
        async with browser.open(conversation) as other:
            assert other.state["messages"][1]["status"] == "pending"
            assert (await other.next("reply.queued"))["position"] == 3
        pause.set()
        rest = await socket.until("reply.end")

    assert first["position"] == 3
    assert [frame["type"] for frame in rest][-3:] == ["reply.start", "reply.token", "reply.end"]


async def test_messages_sent_meanwhile_are_saved_at_once_and_answered_in_order(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    pause = asyncio.Event()
    fake_engine.play("One", pause, ".")
    fake_engine.play("Two", ".")
    fake_engine.play("Three", ".")
    async with browser.open(conversation) as socket:
        for text in ("first", "second", "third"):
            client_id = await socket.say(text)
            await socket.next("message.saved", client_id=client_id)
        assert len(fake_engine.calls) == 1
        pause.set()
        texts = [(await socket.next("reply.end"))["text"] for _ in range(3)]

    assert texts == ["One.", "Two.", "Three."]
    assert [turn.text for turn in fake_engine.calls[2].turns] == [
        *("first", "One.", "second", "Two.", "third")
    ]


async def test_stop_keeps_what_there_is_and_frees_the_engine(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("I like", " boats", asyncio.Event(), " never")
    async with browser.open(conversation) as socket:
        await socket.say("Boats?")
        frames = await socket.until("reply.token")
        await socket.send("reply.stop", message_id=frames[-1]["message_id"])
        end = await socket.next("reply.end")
        await fake_engine.calls[0].left.wait()

    assert end["text"] == "I like boats"
    assert end["status"] == "stopped"
    reply = await Message.objects.aget(pk=end["message_id"])
    assert (reply.status, reply.text) == (Status.STOPPED, "I like boats")
    assert reply.sampling["seed"] == fake_engine.calls[0].params.seed


async def test_a_reply_that_has_not_begun_can_be_stopped(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    pause = asyncio.Event()
    fake_engine.play("One", pause)
    async with browser.open(conversation) as socket:
        await socket.say("first")
        await socket.next("reply.token")
        saved = await socket.say("second")
        await socket.next("message.saved", client_id=saved)
        waiting = await Message.objects.aget(conversation=conversation, status=Status.PENDING)
        await socket.send("reply.stop", message_id=str(waiting.pk))
        end = await socket.next("reply.end")
        pause.set()
        assert (await socket.next("reply.end"))["text"] == "One"
        assert await socket.usable()

    assert end == {
        "type": "reply.end",
        "message_id": str(waiting.pk),
        "text": "",
        "status": "stopped",
    }
    assert len(fake_engine.calls) == 1


async def test_a_reply_that_has_ended_is_not_changed_by_stop(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    async with browser.open(conversation) as socket:
        await socket.say("Hello")
        end = await socket.next("reply.end")
        await socket.send("reply.stop", message_id=end["message_id"])
        assert await socket.usable()
    assert (await Message.objects.aget(pk=end["message_id"])).status == Status.COMPLETE


async def test_a_reply_goes_on_when_the_socket_is_gone_and_can_be_followed_again(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    pause = asyncio.Event()
    fake_engine.play("One", pause, " two")
    async with browser.open(conversation) as socket:
        await socket.say("Count")
        token = await socket.next("reply.token")
    async with browser.open(conversation) as socket:
        reply = socket.state["messages"][1]
        assert reply == {
            "id": token["message_id"],
            "role": "bot",
            "text": "One",
            "status": "streaming",
            "last_seq": 1,
        }
        pause.set()
        rest = await socket.until("reply.end")

    assert rest[0] == {**token, "seq": 2, "text": " two"}
    assert rest[1]["text"] == "One two"


async def test_resume_replays_a_finished_reply_from_any_place(
    browser: Browser, conversation: Conversation
) -> None:
    async with browser.open(conversation) as socket:
        await socket.say("Tell me about your cat.")
        frames = [f for f in await socket.until("reply.end") if f["type"] != "message.saved"]
    _, *tokens, end = frames
    async with browser.open(conversation) as socket:
        for after_seq in (0, 1, len(tokens), len(tokens) + 5):
            await socket.send("reply.resume", message_id=end["message_id"], after_seq=after_seq)
            again = await socket.until("reply.end")
            assert [f for f in again if f["type"] != "reply.start"] == [*tokens[after_seq:], end]


async def test_resume_of_a_running_reply_goes_on_live(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    pause, second = asyncio.Event(), asyncio.Event()
    fake_engine.play("One", second, " two", pause, " three")
    async with browser.open(conversation) as socket:
        await socket.say("Count")
        token = await socket.next("reply.token")
        second.set()
        await socket.next("reply.token")
        await socket.send("reply.resume", message_id=token["message_id"], after_seq=1)
        assert (await socket.next("reply.token"))["seq"] == 2
        pause.set()
        rest = await socket.until("reply.end")

    assert [(f["seq"], f["text"]) for f in rest[:-1]] == [(3, " three")]
    assert rest[-1]["text"] == "One two three"


@pytest.mark.parametrize("how", ["frame", "text"])
async def test_reset_takes_every_tab_to_another_conversation(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine, how: str
) -> None:
    async with browser.open(conversation) as one, browser.open(conversation) as two:
        if how == "frame":
            await one.send("conversation.reset")
        else:
            await one.say(" /Reset ")
        frames = [await one.receive(), await two.receive()]
        successor = frames[0]["conversation_id"]
        async with browser.open(successor) as three:
            assert three.state["messages"] == []

    assert frames == [{"type": "conversation.reset", "conversation_id": successor}] * 2
    assert successor != str(conversation.pk)
    assert not await Message.objects.aexists()


async def test_reset_stops_what_is_being_written(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("Well", asyncio.Event())
    async with browser.open(conversation) as socket:
        await socket.say("Hello")
        await socket.next("reply.token")
        await socket.send("conversation.reset")
        await socket.next("reply.end", status="stopped", text="Well")
        await fake_engine.calls[0].left.wait()


async def test_a_closed_room_leaves_nothing_behind(
    browser: Browser, conversation: Conversation, rooms: Rooms
) -> None:
    tasks = asyncio.all_tasks()
    async with browser.open(conversation) as socket:
        await socket.say("Hello")
        await socket.until("reply.end")
    async with asyncio.timeout(PATIENCE):
        while left := asyncio.all_tasks() - tasks:
            await asyncio.wait(left)

    assert rooms.get(conversation.pk) is None
    assert not rooms.replies
