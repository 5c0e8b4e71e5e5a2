"""The REST API through the real ASGI application, as owner, stranger and anonymous."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token

from conversations.api.base import ApiView
from conversations.models import Channel, Conversation, Message, Persona, Role
from conversations.services import limits
from conversations.services.conversations import conversation_start
from conversations.services.events import ReplyEnded
from conversations.services.owners import Owner
from conversations.services.replies import reply_end
from inference.errors import EngineBusy, EngineStopped
from tests.fakes import FakeEngine

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("rooms")]


class Program:
    """A client of the API with somebody's token, or none."""

    def __init__(self, token: str = "", scheme: str = "Bearer") -> None:
        self.http = AsyncClient()
        self.headers = {"Authorization": f"{scheme} {token}"} if token else {}

    async def send(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        response = await self.raw(method, path, body, **headers)
        content = b"" if response.streaming else response.content
        return response.status_code, json.loads(content) if content else None

    async def raw(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.generic(
            method,
            f"/api/v1/{path}",
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers={**self.headers, **named},
        )


@pytest.fixture
def owner(transactional_db: None, persona: Persona) -> User:
    limits.limiter.cache_clear()
    return User.objects.create_user("owner")


@pytest.fixture
def program(owner: User) -> Program:
    return Program(Token.objects.create(user=owner).key)


@pytest.fixture
def stranger(owner: User) -> Program:
    return Program(Token.objects.create(user=User.objects.create_user("stranger")).key)


@pytest.fixture
def conversation(owner: User) -> Conversation:
    return conversation_start(channel=Channel.API, owner=Owner(user=owner))


async def events_of(response: StreamingHttpResponse, limit: int = 1000) -> list[dict[str, Any]]:
    """The data of an event stream's events; leaves after `limit` of them."""
    found: list[dict[str, Any]] = []
    stream = cast("AsyncIterator[bytes]", response.streaming_content)
    async for block in stream:
        lines = dict(line.split(": ", 1) for line in block.decode().strip().split("\n"))
        frame = json.loads(lines["data"])
        assert lines["event"] == frame["type"]
        assert lines.get("id", "") == str(frame.get("seq", ""))
        found.append(frame)
        if len(found) == limit:
            break
    return found


async def test_a_conversation_from_start_to_end(program: Program, persona: Persona) -> None:
    status, started = await program.send("POST", "conversations/", {"persona": persona.pk})
    assert status == 201
    assert started["persona"]["name"] == "Brenda"
    assert started["channel"] == "api"
    path = f"conversations/{started['id']}/"

    status, exchange = await program.send("POST", f"{path}messages/", {"text": "Hi! Any pets?"})
    assert status == 201
    assert exchange["message"]["text"] == "Hi! Any pets?"
    assert exchange["reply"]["status"] == "complete"
    assert exchange["reply"]["text"]
    assert exchange["reply"]["reply_to"] == exchange["message"]["id"]
    assert exchange["reply"]["last_seq"] >= 1

    status, listed = await program.send("GET", f"{path}messages/")
    assert [message["id"] for message in listed["results"]] == [
        exchange["message"]["id"],
        exchange["reply"]["id"],
    ]
    reply = f"{path}messages/{exchange['reply']['id']}/"
    assert (await program.send("PUT", f"{reply}feedback/", {"feedback": 1}))[1]["feedback"] == 1
    assert (await program.send("GET", reply))[1]["feedback"] == 1
    renamed = await program.send("PATCH", path, {"title": "The bus"})
    assert renamed[1]["title"] == "The bus"
    exported = await program.send("GET", f"{path}export/")
    assert [message["text"] for message in exported[1]["messages"]] == [
        "Hi! Any pets?",
        exchange["reply"]["text"],
    ]
    status, successor = await program.send("POST", f"{path}reset/")
    assert (status, successor["id"] != started["id"]) == (201, True)
    assert (await program.send("DELETE", path))[0] == 204
    assert (await program.send("GET", path))[0] == 404
    assert (await program.send("GET", "conversations/"))[1]["results"] == [successor]


async def test_a_random_character_stays_secret_until_revealed(program: Program) -> None:
    _, started = await program.send("POST", "conversations/", {})
    assert started["persona"] is None
    path = f"conversations/{started['id']}/"
    status, persona = await program.send("POST", f"{path}reveal/")
    assert (status, persona["lines"][0]) == (200, "I drive a night bus.")
    assert (await program.send("GET", path))[1]["persona"] == persona


async def test_characters_can_be_listed_searched_and_drawn(program: Program) -> None:
    await Persona.objects.acreate(
        name="Otto", lines=["I bake bread."], color="#112233", emblem="O", digest="o", source="t"
    )
    await Persona.objects.acreate(
        name="Off", lines=["I am off."], digest="x", source="t", is_active=False
    )
    _, everyone = await program.send("GET", "personas/?page_size=1")
    assert [persona["name"] for persona in everyone["results"]] == ["Brenda"]
    following = everyone["next"].partition("/api/v1/")[2]
    assert [p["name"] for p in (await program.send("GET", following))[1]["results"]] == ["Otto"]
    _, found = await program.send("GET", "personas/?search=bake+otto")
    assert [persona["name"] for persona in found["results"]] == ["Otto"]
    _, one = await program.send("GET", f"personas/{found['results'][0]['id']}/")
    assert one["lines"] == ["I bake bread."]
    assert (await program.send("GET", "personas/random/"))[1]["name"] in {"Brenda", "Otto"}
    assert (await program.send("GET", "personas/999999/"))[0] == 404


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("soufflé", True),
        ("München soufflé", True),
        ('"flat"', True),
        ('Zoë "flat"', True),
        ("back\\slash", True),
        ("\\slash\\", False),
        ('"', True),
        ("'", False),
        ("pie", False),
    ],
)
async def test_lines_are_searched_as_they_are_written(
    program: Program, search: str, found: bool
) -> None:
    lines = ['My soufflé is "flat".', "I live in München, at back\\slash street."]
    await Persona.objects.acreate(name="Zoë", lines=lines, digest="z", source="t")
    _, answer = await program.send("GET", f"personas/?search={quote(search)}")
    assert [persona["name"] for persona in answer["results"]] == ["Zoë"] * found


async def test_a_search_takes_five_words_and_the_database_alone_looks_for_plain_ones(
    program: Program,
) -> None:
    def search(words: str) -> tuple[int, str]:
        with CaptureQueriesContext(connection) as queries:
            query = {"search": words}
            found = Client().get("/api/v1/personas/", query, headers=program.headers).json()
        return len(found["results"]), queries[-1]["sql"]

    for words, number in (("My CAT hates a BRENDA zzzz", 1), ("my cat hates zzzz", 0)):
        found, sql = await sync_to_async(search)(words)
        assert found == number
        assert "conversations_persona" in sql
        # In SQLite it would ask Python about every row.
        assert "LIKE" not in sql


async def test_the_live_model_shows_its_card(program: Program) -> None:
    status, model = await program.send("GET", "model/")
    assert status == 200
    assert model["architecture"] == "gpt2"
    assert model["card"].startswith("#")


async def test_a_reply_streams_as_server_sent_events(
    program: Program, conversation: Conversation
) -> None:
    response = await program.raw(
        "POST",
        f"conversations/{conversation.pk}/messages/",
        {"text": "Tell me about your cat."},
        Accept="text/event-stream",
    )
    assert response["Content-Type"].startswith("text/event-stream")
    saved, start, *tokens, end = await events_of(response)
    assert (saved["type"], start["type"]) == ("message.saved", "reply.start")
    assert [token["seq"] for token in tokens] == list(range(1, len(tokens) + 1))
    assert "".join(token["text"] for token in tokens) == end["text"]
    assert end["status"] == "complete"


async def test_a_client_that_drops_half_way_resumes_where_it_was(
    program: Program, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    gate = asyncio.Event()
    fake_engine.play("One", " two", gate, " three", " four")
    path = f"conversations/{conversation.pk}/messages/"
    response = await program.raw("POST", path, {"text": "Count."}, Accept="text/event-stream")
    frames = await events_of(response, limit=3)
    await response.streaming_content.aclose()
    gate.set()
    token = frames[-1]
    rest = await program.raw(
        "GET", f"{path}{token['message_id']}/events/", Last_Event_ID=str(token["seq"])
    )
    missed = await events_of(rest)
    texts = [frame["text"] for frame in [token, *missed] if frame["type"] == "reply.token"]
    assert "".join(texts) == "One two three four" == missed[-1]["text"]
    bad = await program.send(
        "GET", f"{path}{token['message_id']}/events/", Last_Event_ID="nonsense"
    )
    assert (bad[0], bad[1]["code"]) == (400, "invalid")


@pytest.mark.parametrize("key", ["order 66 ✓", "6f1f6f0e-2f0e-4a0e-9b6e-0d6f5f4f3f2f"])
async def test_the_same_key_sent_twice_at_once_generates_once(
    program: Program, conversation: Conversation, fake_engine: FakeEngine, key: str
) -> None:
    path = f"conversations/{conversation.pk}/messages/"
    header = {"Idempotency_Key": key.encode().decode("latin1")}
    both = await asyncio.gather(
        *(program.send("POST", path, {"text": "Hello"}, **header) for _ in range(2))
    )
    assert sorted(status for status, _ in both) == [200, 201]
    assert both[0][1] == both[1][1]
    assert len(fake_engine.calls) == 1
    again = await program.send("POST", path, {"text": "Hello"}, **header)
    assert again == (200, both[0][1])


async def test_a_key_used_again_for_another_text_is_refused_and_nothing_is_generated(
    program: Program, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play(EngineStopped("gone"))
    path = f"conversations/{conversation.pk}/messages/"
    assert (await program.send("POST", path, {"text": "Hi"}, Idempotency_Key="k"))[0] == 503
    for accept in ("application/json", "text/event-stream"):
        response = await program.raw(
            "POST", path, {"text": "Bye"}, Idempotency_Key="k", Accept=accept
        )
        assert (response.status_code, response.json()["code"]) == (409, "invalid")
        assert "another text" in response.json()["detail"]
    assert len(fake_engine.calls) == 1
    # What is kept of a text, and not how it was sent, is compared.
    again = await program.send("POST", path, {"text": "Hi\x07"}, Idempotency_Key="k")
    assert (again[0], again[1]["message"]["text"]) == (200, "Hi")


async def test_stop_keeps_what_there_is(
    program: Program, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    fake_engine.play("Well", asyncio.Event())
    path = f"conversations/{conversation.pk}/messages/"
    response = await program.raw("POST", path, {"text": "Hm?"}, Accept="text/event-stream")
    token = (await events_of(response, limit=3))[-1]
    status, reply = await program.send("POST", f"{path}{token['message_id']}/stop/")
    assert (status, reply["status"], reply["text"]) == (200, "stopped", "Well")


@pytest.mark.parametrize(
    ("failure", "code"),
    [(EngineBusy(9, 7.0), "busy"), (EngineStopped("gone"), "engine_unavailable")],
)
async def test_a_failed_reply_is_503_and_the_same_key_tries_again(
    program: Program,
    conversation: Conversation,
    fake_engine: FakeEngine,
    failure: Exception,
    code: str,
) -> None:
    fake_engine.play(failure)
    path = f"conversations/{conversation.pk}/messages/"
    response = await program.raw("POST", path, {"text": "Hi"}, Idempotency_Key="k")
    assert (response.status_code, response.json()["code"]) == (503, code)
    assert code != "busy" or response["Retry-After"] == "7"
    status, exchange = await program.send("POST", path, {"text": "Hi"}, Idempotency_Key="k")
    assert (status, exchange["reply"]["text"]) == (200, "Hello there.")
    assert await Message.objects.filter(role=Role.USER).acount() == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": "  \n "}, "invalid"),
        ({"text": "x" * 100_000}, "too_long"),
        ({"text": 7}, "invalid"),
        ({"text": None}, "invalid"),
        ({}, "invalid"),
        ([1], "invalid"),
    ],
)
async def test_bad_messages_are_refused_and_nothing_is_saved(
    program: Program, conversation: Conversation, body: object, code: str
) -> None:
    path = f"conversations/{conversation.pk}/messages/"
    status, error = await program.send("POST", path, body)
    assert (status, error["code"]) == (400, code)
    assert error["detail"]
    assert not await Message.objects.aexists()


async def test_bad_json_and_wrong_types_have_the_same_shape(
    program: Program, conversation: Conversation
) -> None:
    path = f"/api/v1/conversations/{conversation.pk}/messages/"
    broken = await program.http.post(
        path, "{", content_type="application/json", headers=program.headers
    )
    assert (broken.status_code, broken.json()["code"]) == (400, "bad_json")
    form = await program.http.post(path, {"text": "x"}, headers=program.headers)
    assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")
    assert (await program.send("PUT", f"conversations/{conversation.pk}/", {}))[0] == 405
    assert (await program.send("GET", "nowhere/"))[1]["code"] == "not_found"
    wrong = await program.send("POST", "conversations/", {"persona": "Brenda"})
    assert (wrong[0], list(wrong[1]["fields"])) == (400, ["persona"])


@pytest.mark.parametrize("path", ["messages/", ""])
async def test_json_nested_too_deeply_is_bad_json(
    program: Program, conversation: Conversation, path: str
) -> None:
    address = f"/api/v1/conversations/{conversation.pk}/{path}"
    response = await program.http.generic(
        "POST" if path else "PATCH",
        address,
        '{"text":' + "[" * 100_000,
        content_type="application/json",
        headers=program.headers,
    )
    assert (response.status_code, response.json()["code"]) == (400, "bad_json")


@pytest.mark.parametrize("place", ["abc", "9" * 30, "0001-01-01T00:00:00+14:00", "\0"])
@pytest.mark.parametrize("path", ["personas/", "conversations/", "conversations/{}/messages/"])
async def test_a_cursor_that_is_none_of_ours_leads_to_no_page(
    program: Program, conversation: Conversation, path: str, place: str
) -> None:
    cursor = b64encode(f"p={quote(place)}".encode()).decode()
    address = f"{path.format(conversation.pk)}?cursor={quote(cursor)}"
    status, answer = await program.send("GET", address)
    refused = (404, "not_found")
    # What some databases have values for is a place that nothing comes after.
    allowed = {refused} if place in {"abc", "\0"} else {refused, (200, None)}
    assert (status, answer.get("code")) in allowed
    assert not answer.get("results")


async def test_a_conversation_deleted_while_a_reply_is_waited_for_is_not_found(
    program: Program,
    conversation: Conversation,
    fake_engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = await Conversation.objects.acreate(
        user_id=conversation.user_id, persona_id=conversation.persona_id, channel=Channel.API
    )
    paths = [f"conversations/{each.pk}/messages/" for each in (conversation, other)]
    _, exchange = await program.send("POST", paths[1], {"text": "Hi"})

    async def deleted_at_its_end(*, reply_id: int) -> ReplyEnded:
        ended = await reply_end(reply_id=reply_id)
        await Conversation.objects.filter(messages=reply_id).adelete()
        return ended

    monkeypatch.setattr("conversations.api.messages.reply_end", deleted_at_its_end)
    said = await program.send("POST", paths[0], {"text": "Hi"})
    stopped = await program.send("POST", f"{paths[1]}{exchange['reply']['id']}/stop/")
    assert [(status, error["code"]) for status, error in (said, stopped)] == [
        (404, "not_found")
    ] * 2
    assert not await Conversation.objects.aexists()


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", ""), ("POST", "reveal/"), ("PUT", "messages/{reply}/feedback/"), ("DELETE", "")],
)
async def test_what_is_deleted_just_before_it_is_changed_is_not_found(
    program: Program,
    conversation: Conversation,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
) -> None:
    _, exchange = await program.send(
        "POST", f"conversations/{conversation.pk}/messages/", {"text": "Hi"}
    )
    found = ApiView.conversation

    def found_and_deleted(view: ApiView) -> Conversation:
        conversation = found(view)
        Conversation.objects.filter(pk=conversation.pk).delete()
        return conversation

    def message_and_deleted(view: ApiView, **conditions: Any) -> Message:
        message = get_object_or_404(Message, pk=exchange["reply"]["id"])
        found_and_deleted(view)
        return message

    monkeypatch.setattr(ApiView, "conversation", found_and_deleted)
    monkeypatch.setattr(ApiView, "message", message_and_deleted)
    address = f"conversations/{conversation.pk}/{path}".format(reply=exchange["reply"]["id"])
    response = await program.raw(method, address, {"title": "The bus", "feedback": 1})
    if method == "DELETE":
        assert response.status_code == 204
    else:
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_a_title_that_cannot_be_kept_starts_no_conversation(program: Program) -> None:
    status, error = await program.send("POST", "conversations/", {"title": "x" * 81})
    assert (status, error["code"]) == (400, "too_long")
    assert not await Conversation.objects.aexists()


async def test_enormous_bodies_are_refused_in_json(
    program: Program, conversation: Conversation
) -> None:
    path = f"conversations/{conversation.pk}/messages/"
    status, error = await program.send("POST", path, {"text": "x" * 1_000_001})
    assert (status, error["code"]) == (413, "too_long")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/v1/personas/"), ("POST", "/v1/chat/completions")]
)
async def test_a_database_that_is_away_is_said_in_words_that_fit(
    program: Program, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("conversations.api.authentication.BearerOrToken.authenticate", away)
    response = await program.http.generic(method, path, "{}", content_type="application/json")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    error = response.json().get("error", response.json())
    assert error["code"] == "busy"
    said = error.get("message") or error["detail"]
    assert "could not be done" in said
    assert "saved" not in said


ENDPOINTS = [
    ("GET", ""),
    ("PATCH", ""),
    ("POST", "reset/"),
    ("POST", "reveal/"),
    ("GET", "export/"),
    ("GET", "messages/"),
    ("POST", "messages/"),
    ("GET", "messages/{reply}/"),
    ("GET", "messages/{reply}/events/"),
    ("POST", "messages/{reply}/stop/"),
    ("PUT", "messages/{reply}/feedback/"),
    ("DELETE", ""),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_a_stranger_finds_nothing_and_the_anonymous_are_asked_who_they_are(
    program: Program, stranger: Program, conversation: Conversation, method: str, path: str
) -> None:
    messages = f"conversations/{conversation.pk}/messages/"
    _, exchange = await program.send("POST", messages, {"text": "Hello"})
    address = f"conversations/{conversation.pk}/{path}".format(reply=exchange["reply"]["id"])
    body = {"text": "x", "title": "t", "feedback": 1}
    status, error = await stranger.send(method, address, body)
    assert (status, error["code"]) == (404, "not_found")
    response = await Program().raw(method, address, body)
    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"
    assert (await program.raw(method, address, body)).status_code in {200, 201, 204}


async def test_both_words_for_a_token_and_a_session_are_accepted(
    program: Program, owner: User, conversation: Conversation
) -> None:
    token = await Token.objects.aget(user=owner)
    assert (await Program(token.key, "Token").send("GET", "conversations/"))[0] == 200
    assert (await Program("wrong").send("GET", "conversations/"))[0] == 401
    browser = AsyncClient(enforce_csrf_checks=True)
    await browser.aforce_login(owner)
    assert (await browser.get("/api/v1/conversations/")).status_code == 200
    forged = await browser.post("/api/v1/conversations/", "{}", content_type="application/json")
    assert (forged.status_code, forged.json()["code"]) == (403, "forbidden")


async def test_too_many_messages_are_put_off(
    program: Program, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    path = f"conversations/{conversation.pk}/messages/"
    for _ in range(30):
        assert (await program.send("POST", path, {"text": "Hi"}))[0] == 201
    response = await program.raw("POST", path, {"text": "Hi"})
    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert int(response["Retry-After"]) >= 1


async def test_too_many_requests_are_put_off(program: Program, stranger: Program) -> None:
    for _ in range(600):
        assert (await program.send("GET", "model/"))[0] == 200
    response = await program.raw("GET", "model/")
    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert int(response["Retry-After"]) >= 1
    assert (await stranger.send("GET", "model/"))[0] == 200
