"""Rate limits: one person, one address, and what stands in for it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import Client, RequestFactory
from limits.strategies import MovingWindowRateLimiter
from pytest_django import Settings

from conversations.models import Conversation, Message, Role
from conversations.services import limits
from conversations.services.errors import RateLimited
from conversations.services.limits import conversation_limit, message_limit
from conversations.services.owners import Owner, client_address
from tests.conversations.sockets import Browser
from tests.fakes import FakeEngine
from tests.servers import redis_server


@pytest.fixture(autouse=True)
def _rates(settings: Settings) -> None:
    rates = {"message_rate": "2/minute;5/hour", "conversation_rate": "1/hour"}
    settings.ENV = settings.ENV.model_copy(update=rates)
    limits.limiter.cache_clear()


def allowed(owner: Owner, address: str = "") -> bool:
    try:
        message_limit(owner=owner, address=address)
    except RateLimited:
        return False
    return True


def test_each_person_has_a_limit_of_their_own() -> None:
    ada, grace = Owner(browser_key="ada"), Owner(browser_key="grace")
    assert [allowed(ada) for _ in range(3)] == [True, True, False]
    assert allowed(grace)
    conversation_limit(owner=ada, address="")


def test_whoever_is_over_the_limit_is_told_how_long_to_wait() -> None:
    ada = Owner(browser_key="ada")
    conversation_limit(owner=ada, address="")
    with pytest.raises(RateLimited) as refusal:
        conversation_limit(owner=ada, address="")
    assert refusal.value.retry_after
    assert 3500 < refusal.value.retry_after <= 3600
    assert "conversations" in refusal.value.detail
    assert refusal.value.detail.endswith("Please wait 60 minutes.")
    allowed(ada)
    allowed(ada)
    with pytest.raises(RateLimited, match=r"Please wait \d+ seconds?\."):
        message_limit(owner=ada, address="")


def test_in_memory_a_window_moves_and_an_empty_one_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr("conversations.services.limits.time.time", lambda: now)
    memory = limits.QuietMemory()
    assert [memory.acquire_entry("ada", 2, 60) for _ in range(3)] == [True, True, False]
    assert memory.get_moving_window("ada", 2, 60) == (1_000.0, 2)
    now = 1_030.0
    assert not memory.acquire_entry("ada", 2, 60)
    now = 1_061.0
    assert memory.acquire_entry("grace", 2, 60)
    assert list(memory._windows) == ["grace"]
    assert memory.get_moving_window("ada", 2, 60) == (now, 0)
    assert memory.acquire_entry("ada", 2, 60)


@pytest.mark.parametrize(
    ("addresses", "shared"),
    [
        (["203.0.113.9"], True),
        (["::ffff:203.0.113.9", "203.0.113.9"], True),
        (["2001:db8:1:2::1", "2001:db8:1:2:ffff::2"], True),
        (["2001:db8:1:2::1", "2001:db8:1:3::1"], False),
        (["127.0.0.1"], False),
        (["::1"], False),
        ([""], False),
        (["nonsense"], False),
    ],
)
def test_people_behind_one_address_share_a_wider_limit(addresses: list[str], shared: bool) -> None:
    number = 2 * limits.PEOPLE_PER_ADDRESS
    for place in range(number):
        assert allowed(Owner(browser_key=f"b{place}"), addresses[place % len(addresses)])
    assert allowed(Owner(browser_key="one more"), addresses[0]) is not shared


def test_limits_are_counted_in_redis_when_there_is_one(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ada = Owner(browser_key="ada")
    with redis_server(tmp_path) as url:
        settings.ENV = settings.ENV.model_copy(update={"redis_url": url})
        assert [allowed(ada), allowed(ada)] == [True, True]
        limits.limiter.cache_clear()  # as another process
        assert not allowed(ada)
    # Without its Redis the chat goes on.
    assert allowed(ada)
    assert "rate limits cannot be counted" in caplog.text


def test_a_redis_that_does_not_answer_is_waited_for_once_and_then_left_alone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REDIS_SECONDS", 0.05)
    asked = 0

    def count(*_: object) -> bool:
        nonlocal asked
        asked += 1
        return MovingWindowRateLimiter.hit(*_)  # type: ignore[arg-type]

    monkeypatch.setattr(limits.Limiter, "hit", count)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings.ENV = settings.ENV.model_copy(update={"redis_url": url})
        assert all(allowed(Owner(browser_key="ada"), "203.0.113.7") for _ in range(20))
    assert asked == 1


def test_redis_may_be_behind_a_socket_of_this_machine(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"unix://{tmp_path}/redis.sock"
    settings.ENV = settings.ENV.model_copy(update={"redis_url": url})
    assert allowed(Owner(browser_key="ada"))
    assert "rate limits cannot be counted" in caplog.text  # nobody listens there


async def test_one_message_too_many_is_not_saved(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine, rooms: object
) -> None:
    async with browser.open(conversation) as socket:
        for _ in range(2):
            saved = await socket.say("Hello")
            await socket.next("reply.end")
        client_id = await socket.say("Hello?")
        error = await socket.receive()
        assert (error["code"], error["client_id"]) == ("rate_limited", client_id)
        assert 0 < error["retry_after"] <= 60
        # What only comes again, after a lost connection, is not one more.
        await socket.say("Hello", saved)
        assert (await socket.receive())["type"] == "message.saved"
        assert await socket.usable()
    async with browser.open(conversation) as socket:
        assert len(socket.state["messages"]) == 4


async def test_a_message_whose_reply_staff_deleted_counts_when_it_comes_again(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine, rooms: object
) -> None:
    async with browser.open(conversation) as socket:
        for _ in range(2):
            client_id = await socket.say("Hello")
            await socket.next("reply.end")
        await Message.objects.filter(role=Role.BOT).adelete()
        await socket.say("Hello", client_id)
        assert (await socket.receive())["code"] == "rate_limited"
    assert len(fake_engine.calls) == 2


async def test_one_reset_too_many_is_refused(
    browser: Browser, conversation: Conversation, rooms: object
) -> None:
    async with browser.open(conversation) as socket:
        await socket.send("conversation.reset")
        assert (await socket.receive())["type"] == "conversation.reset"
        await socket.send("conversation.reset")
        assert (await socket.receive())["code"] == "rate_limited"


@pytest.mark.django_db
def test_without_an_account_an_address_may_call_the_api_less_often(client: Client) -> None:
    def ask(address: str) -> Any:
        # What a stranger says of where they come from is not believed.
        said = {"x-forwarded-for": "192.0.2.1"}
        return client.get("/api/docs/", headers=said, REMOTE_ADDR=address)

    assert [ask("203.0.113.7").status_code for _ in range(60)] == [200] * 60
    refusal = ask("203.0.113.7")
    assert (refusal.status_code, json.loads(refusal.content)["code"]) == (429, "rate_limited")
    assert int(refusal["Retry-After"]) >= 1
    assert ask("203.0.113.8").status_code == 200


def request_from(peer: str, forwarded: str | None) -> HttpRequest:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)
    request.user = AnonymousUser()
    return request


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, None, "10.0.0.1"),
        (0, "1.1.1.1", "10.0.0.1"),
        (1, None, "10.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (2, "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "203.0.113.9", "203.0.113.9"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "<script>", "10.0.0.1"),
        (1, "1.1.1.1, ", "1.1.1.1"),
    ],
)
def test_an_address_is_believed_as_far_as_our_own_proxies_wrote_it(
    settings: Settings, proxies: int, forwarded: str | None, address: str
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"trusted_proxies": proxies})
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    assert client_address(request_from("10.0.0.1", forwarded)) == address
    assert client_address({"client": ["10.0.0.1", 5], "headers": headers}) == address
