"""The OpenAI-compatible surface, with the real model."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from pytest_django import Settings
from rest_framework.authtoken.models import Token

from conversations.models import Message, Persona
from conversations.services import limits
from inference.errors import EngineBusy
from tests.fakes import FakeEngine

pytestmark = pytest.mark.postgres
HELLO = [{"role": "user", "content": "Hello! Do you have a pet?"}]


@pytest.fixture
def headers(transactional_db: None, persona: Persona) -> dict[str, str]:
    limits.limiter.cache_clear()
    token = Token.objects.create(user=User.objects.create_user("program"))
    return {"Authorization": f"Bearer {token.key}"}


async def complete(headers: dict[str, str], **body: object) -> Any:
    return await AsyncClient().post(
        "/v1/chat/completions", body, content_type="application/json", headers=headers
    )


async def test_the_same_seed_gives_the_same_answer(
    headers: dict[str, str], persona: Persona
) -> None:
    asked = {"messages": HELLO, "persona": persona.pk, "seed": 7, "max_tokens": 20}
    first, second = [(await complete(headers, **asked)).json() for _ in range(2)]
    choice = first["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert choice["finish_reason"] in {"stop", "length"}
    assert first["usage"]["completion_tokens"] <= 20
    assert choice == second["choices"][0]
    assert not await Message.objects.aexists()


async def test_a_streamed_answer_is_the_whole_one_in_pieces(headers: dict[str, str]) -> None:
    asked = {"messages": HELLO, "persona": ["I have a parrot."], "seed": 3}
    whole = (await complete(headers, **asked)).json()["choices"][0]
    response = await complete(headers, **asked, stream=True)
    assert response["X-Accel-Buffering"] == "no"
    blocks = [block.decode() async for block in response.streaming_content]
    assert blocks[-1] == "data: [DONE]\n\n"
    chunks = [json.loads(block.removeprefix("data: "))["choices"][0] for block in blocks[:-1]]
    text = "".join(chunk["delta"].get("content", "") for chunk in chunks)
    assert (text, chunks[-1]["finish_reason"]) == (
        whole["message"]["content"],
        whole["finish_reason"],
    )


async def test_models_are_listed(headers: dict[str, str]) -> None:
    response = await AsyncClient().get("/v1/models", headers=headers)
    assert response.json()["data"][0]["object"] == "model"
    anonymous = await AsyncClient().get("/v1/models")
    assert (anonymous.status_code, anonymous.json()["error"]["code"]) == (401, "not_authenticated")
    assert anonymous["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("accepted", ["text/event-stream", "application/json", "text/html"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_body_says_whether_it_streams_whatever_is_accepted(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch, accepted: str, stream: bool
) -> None:
    fake = FakeEngine()
    fake.play("Hello")
    monkeypatch.setattr("conversations.api.completions.engine", lambda: fake)
    accepting = headers | {"Accept": accepted}
    response = await complete(accepting, messages=HELLO, stream=stream)
    kind = "text/event-stream; charset=utf-8" if stream else "application/json"
    assert (response.status_code, response["Content-Type"]) == (200, kind)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"messages": []}, 400),
        ({"messages": [{"role": "user", "content": 3}]}, 400),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, 400),
        ({"messages": HELLO, "temperature": -1}, 400),
        ({"messages": HELLO, "max_tokens": 100_000}, 400),
        ({"messages": HELLO, "persona": 999_999}, 404),
        ({"messages": HELLO, "persona": 0}, 404),
        ({"messages": HELLO, "persona": ["word " * 2000], "stream": True}, 400),
    ],
)
async def test_bad_requests_say_what_is_wrong(
    headers: dict[str, str], body: dict[str, object], status: int
) -> None:
    response = await complete(headers, **body)
    assert response.status_code == status
    assert response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("n", 0),
        ("logprobs", True),
        ("tools", [{"type": "function"}]),
        ("response_format", {"type": "json_object"}),
        ("presence_penalty", 0.5),
        ("stop", ["a"] * 5),
        ("stop", ""),
        ("persona", []),
        ("persona", "Tom"),
        ("persona", True),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}]),
        ("messages", [{"role": "system", "content": "I bake.\n" * 13}, *HELLO]),
        ("messages", [{"role": "system", "content": "I bake.\nI row."}] * 7 + HELLO),
    ],
)
async def test_what_would_not_be_done_is_refused(
    headers: dict[str, str], field: str, value: object
) -> None:
    response = await complete(headers, **{"messages": HELLO, field: value})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "invalid"
    assert field in error["message"]
    assert "constrained" not in error["message"]


async def test_a_system_message_may_be_a_whole_character(headers: dict[str, str]) -> None:
    lines = [f"I have {n} cats. I love them all.\n\n" for n in range(2, 14)]
    messages = [{"role": "system", "content": "".join(lines)}, *HELLO]
    asked = {"seed": 3, "max_tokens": 8}
    told = await complete(headers, messages=messages, **asked)
    assert told.status_code == 200
    same = await complete(headers, messages=HELLO, persona=[s.strip() for s in lines], **asked)
    assert told.json()["choices"] == same.json()["choices"]


async def test_what_changes_nothing_may_be_there(headers: dict[str, str]) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": HELLO[0]["content"]}]}]
    persona, same = ["I have a parrot."], {"n": 1, "logprobs": False, "tools": [], "user": "me"}
    plain = (await complete(headers, messages=HELLO, persona=persona, seed=3)).json()
    parted = await complete(headers, messages=parts, persona=persona, seed=3, model=None, **same)
    assert parted.json()["choices"] == plain["choices"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_sequence_ends_the_text_before_it(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    fake = FakeEngine()
    fake.play("I have a ", "dog named R", "e", "x, and more", " and more")
    monkeypatch.setattr("conversations.api.completions.engine", lambda: fake)
    body = {"messages": HELLO, "stop": ["Rex", "Tom"], "stream": stream}
    response = await complete(headers, **body, stream_options={"include_usage": True})
    if not stream:
        choice = response.json()["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == (
            "I have a dog named ",
            "stop",
        )
        return
    blocks = [block.decode() async for block in response.streaming_content]
    chunks = [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]]
    assert "".join(deltas) == "I have a dog named "
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] > 0


async def test_what_only_begins_like_a_stop_sequence_is_all_there(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeEngine()
    fake.play("See you, R", "e", "ne. Re")
    monkeypatch.setattr("conversations.api.completions.engine", lambda: fake)
    response = await complete(headers, messages=HELLO, stop="Rex")
    assert response.json()["choices"][0]["message"]["content"] == "See you, Rene. Re"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_busy_engine_is_503(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    fake = FakeEngine()
    fake.play(EngineBusy(4, 9.0))
    monkeypatch.setattr("conversations.api.completions.engine", lambda: fake)
    response = await complete(headers, messages=HELLO, stream=stream)
    assert (response.status_code, response["Retry-After"]) == (503, "9")
    assert response.json()["error"]["code"] == "busy"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_that_takes_too_long_is_given_up(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch, settings: Settings, stream: bool
) -> None:
    fake = FakeEngine()
    fake.play("I was", asyncio.Event())
    monkeypatch.setattr("conversations.api.completions.engine", lambda: fake)
    settings.ENV = settings.ENV.model_copy(update={"reply_timeout": 0.2})
    response = await complete(headers, messages=HELLO, stream=stream)
    if stream:
        blocks = [block.decode() async for block in response.streaming_content]
        assert "took too long" in blocks[-2]
        assert blocks[-1] == "data: [DONE]\n\n"
    else:
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "engine_unavailable"


def test_without_redis_programs_are_let_through(
    headers: dict[str, str],
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    client = Client()
    assert client.get("/v1/models", headers=headers).status_code == 200
    assert client.get("/api/schema/", REMOTE_ADDR="203.0.113.7").status_code == 200
    # One that does not answer would hold up each of them: it is asked once in a while.
    assert caplog.text.count("rate limits cannot be counted") == 1


async def test_what_the_model_cannot_read_is_the_request_s_mistake(
    headers: dict[str, str],
) -> None:
    lines = ["I collect " + "very " * 3_000 + "old stamps."] * 12
    response = await complete(headers, messages=HELLO, persona=lines)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "too_long")


async def test_without_characters_there_is_an_error_that_clients_can_read(
    headers: dict[str, str], persona: Persona
) -> None:
    await persona.adelete()
    response = await complete(headers, messages=HELLO)
    assert response.status_code == 503
    assert "load_personas" in response.json()["error"]["message"]


async def test_enormous_bodies_are_refused_in_json(headers: dict[str, str]) -> None:
    response = await complete(headers, messages=HELLO, model="m" * 1_000_001)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_long")


async def test_a_model_and_what_there_is_not(headers: dict[str, str]) -> None:
    client = AsyncClient()
    [model] = json.loads((await client.get("/v1/models", headers=headers)).content)["data"]
    found = await client.get(f"/v1/models/{model['id']}", headers=headers)
    assert (found.status_code, json.loads(found.content)) == (200, model)
    for path, says in (
        ("/v1/models/gpt-5", "There is no model gpt-5"),
        ("/v1/embeddings", "There is nothing at this address"),
    ):
        missing = await client.get(path, headers=headers)
        assert missing.status_code == 404
        error = json.loads(missing.content)["error"]
        assert error["code"] == "not_found"
        assert says in error["message"]
