"""Bad frames: each gets its error, the socket stays usable, nothing is stored."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations.models import Conversation, Message
from conversations.protocol import parse_frame
from conversations.services.errors import ServiceError
from tests.conversations.sockets import Browser
from tests.fakes import FakeEngine

pytestmark = pytest.mark.usefixtures("rooms")

CLIENT_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def send(**fields: Any) -> str:
    return json.dumps({"type": "message.send", "client_id": CLIENT_ID, "text": "Hello"} | fields)


def without(name: str) -> str:
    frame = json.loads(send())
    del frame[name]
    return json.dumps(frame)


BAD_FRAMES = {
    "not JSON": ("{", "bad_json", None),
    "empty": ("", "bad_json", None),
    "a list": ("[1, 2]", "bad_json", None),
    "a string": ('"ping"', "bad_json", None),
    "null": ("null", "bad_json", None),
    "nested too deeply": ("[" * 10_000, "bad_json", None),
    "an enormous number": ("9" * 10_000, "bad_json", None),
    "no type": ("{}", "unknown_type", None),
    "unknown type": ('{"type": "reply.start"}', "unknown_type", None),
    "type of a wrong type": ('{"type": ["ping"]}', "unknown_type", None),
    "unknown type with client_id": (send(type="say"), "unknown_type", CLIENT_ID),
    "no text": (without("text"), "invalid", CLIENT_ID),
    "no client_id": (without("client_id"), "invalid", None),
    "text of a wrong type": (send(text=5), "invalid", CLIENT_ID),
    "text null": (send(text=None), "invalid", CLIENT_ID),
    "text a list": (send(text=["Hello"]), "invalid", CLIENT_ID),
    "client_id of a wrong type": (send(client_id=7), "invalid", None),
    "client_id no UUID": (send(client_id="me"), "invalid", None),
    "empty text": (send(text=""), "invalid", CLIENT_ID),
    "blank text": (send(text=" \t\r\n\u3000"), "invalid", CLIENT_ID),
    "nothing visible": (send(text="\u200b\u2060"), "invalid", CLIENT_ID),
    "only control characters": (send(text="\x00\x07\x1b"), "invalid", CLIENT_ID),
    "only lone surrogates": (send(text="\ud800\udfff"), "invalid", CLIENT_ID),
    "one character too long": (send(text="x" * 1001), "too_long", CLIENT_ID),
    "100,000 characters": (send(text="x" * 100_000), "too_long", CLIENT_ID),
    "100,000 emoji": (send(text="🚌" * 100_000), "too_long", CLIENT_ID),
    "stop without message": ('{"type": "reply.stop"}', "invalid", None),
    "stop of a wrong type": ('{"type": "reply.stop", "message_id": 1}', "invalid", None),
    "stop of no number": ('{"type": "reply.stop", "message_id": "x"}', "invalid", None),
    "stop of no reply": ('{"type": "reply.stop", "message_id": "999999"}', "not_found", None),
    "resume of no reply": (
        '{"type": "reply.resume", "message_id": "999999", "after_seq": 0}',
        "not_found",
        None,
    ),
    "resume before the beginning": (
        '{"type": "reply.resume", "message_id": "1", "after_seq": -1}',
        "invalid",
        None,
    ),
    "resume after no number": (
        '{"type": "reply.resume", "message_id": "1", "after_seq": "2"}',
        "invalid",
        None,
    ),
    "resume after true": (
        '{"type": "reply.resume", "message_id": "1", "after_seq": true}',
        "invalid",
        None,
    ),
}


@pytest.mark.postgres
async def test_bad_frames_get_their_error_and_change_nothing(
    browser: Browser, conversation: Conversation
) -> None:
    async with browser.open(conversation) as socket:
        for name, (text, code, client_id) in BAD_FRAMES.items():
            await socket.send_text(text)
            error = await socket.receive()
            detail = error.pop("detail")
            expected = {"type": "error", "code": code}
            assert error == (expected | {"client_id": client_id} if client_id else expected), name
            assert detail.endswith("."), name
            assert await socket.usable(), name
    assert not await Message.objects.aexists()


async def test_binary_frames_are_refused(browser: Browser, conversation: Conversation) -> None:
    async with browser.open(conversation) as socket:
        await socket.send_bytes(send().encode())
        assert (await socket.receive())["code"] == "bad_json"
        assert await socket.usable()
    assert not await Message.objects.aexists()


async def test_a_reply_of_another_conversation_is_not_found(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    async with browser.open(conversation) as socket:
        await socket.say("Hello")
        end = await socket.next("reply.end")
        question = (await Message.objects.aget(reply__pk=end["message_id"])).pk
    other = await Conversation.objects.acreate(
        persona_id=conversation.persona_id, channel="web", browser_key=browser.owner.browser_key
    )
    async with browser.open(other) as socket:
        for message_id in (end["message_id"], str(question)):
            await socket.send("reply.resume", message_id=message_id, after_seq=0)
            assert (await socket.receive())["code"] == "not_found"
            await socket.send("reply.stop", message_id=message_id)
            assert (await socket.receive())["code"] == "not_found"
        assert await socket.usable()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 1000, "x" * 1000),
        ("🚌" * 1000, "🚌" * 1000),
        ("  spaces stay \n", "  spaces stay \n"),
        ("nul\x00 bell\x07 escape\x1b[31m", "nul bell escape[31m"),
        ("half a pair \ud83d", "half a pair "),
        ("👩‍👩‍👧 é שלום \u202eabc", "👩‍👩‍👧 é שלום \u202eabc"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("<bot> <|endoftext|> <person>", "<bot> <|endoftext|> <person>"),
        ("'; DROP TABLE conversations_message; --", "'; DROP TABLE conversations_message; --"),
    ],
)
async def test_text_is_kept_as_it_was_written(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine, text: str, kept: str
) -> None:
    async with browser.open(conversation) as socket:
        await socket.say(text)
        await socket.next("reply.end")
    async with browser.open(conversation) as socket:
        assert socket.state["messages"][0]["text"] == kept
    assert fake_engine.calls[0].turns[0].text == kept


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
names = st.sampled_from(["type", "client_id", "text", "message_id", "after_seq"])
types = st.sampled_from(["message.send", "reply.stop", "reply.resume", "ping"])
frames = st.dictionaries(names, json_values | types | st.just(str(uuid4())))


@given(st.text() | json_values.map(json.dumps) | frames.map(json.dumps))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_arrives_is_a_frame_or_a_known_error(text: str) -> None:
    try:
        parse_frame(text)
    except ServiceError as error:
        assert error.code in {"bad_json", "unknown_type", "invalid", "too_long"}  # noqa: PT017
