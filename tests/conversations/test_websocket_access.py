"""Who may open a conversation's websocket, and from where."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import AsyncClient
from pytest_django import Settings

from chatbot_site.origins import origin_is_ours
from conversations.models import Conversation, Message
from tests.conversations.sockets import Browser, Socket
from tests.fakes import FakeEngine

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("rooms")]


async def refused(socket: Socket) -> bool:
    connected, _ = await socket.communicator.connect(timeout=20)
    return not connected


@pytest.fixture
def stranger(browser: Browser) -> Browser:
    return Browser()


@pytest.fixture
def user_make(db: None) -> Callable[..., User]:
    def make(name: str, *, is_staff: bool = False) -> User:
        user: User = User.objects.create_user(name, is_staff=is_staff)
        return user

    return make


@pytest.fixture
def staff(user_make: Callable[..., User]) -> Browser:
    return Browser(user_make("grace", is_staff=True))


async def test_another_browser_is_refused(stranger: Browser, conversation: Conversation) -> None:
    assert await refused(stranger.open(conversation))


async def test_without_a_session_nobody_gets_in(
    browser: Browser, conversation: Conversation
) -> None:
    browser.cookie = "other=1"
    assert await refused(browser.open(conversation))
    browser.cookie = "sessionid=made-up"
    assert await refused(browser.open(conversation))


@pytest.mark.parametrize("address", ["6f1f6f0e-2f0e-4a0e-9b6e-0d6f5f4f3f2f", "not-a-uuid", ""])
async def test_unknown_conversations_are_refused(browser: Browser, address: str) -> None:
    assert await refused(browser.open(address))


async def test_conversations_of_nobody_are_open_to_nobody(
    browser: Browser, conversation: Conversation
) -> None:
    await Conversation.objects.filter(pk=conversation.pk).aupdate(browser_key="", user=None)
    assert await refused(browser.open(conversation))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://testserver.evil.example", "http://testserver:81", "x"]
)
async def test_foreign_pages_are_refused(
    browser: Browser, conversation: Conversation, origin: str
) -> None:
    assert await refused(browser.open(conversation, origin=origin))


async def test_programs_need_no_origin(browser: Browser, conversation: Conversation) -> None:
    async with browser.open(conversation, origin=None) as socket:
        assert await socket.usable()


@pytest.mark.parametrize(
    ("origin", "host", "ours"),
    [
        ("http://localhost:8000", "localhost:8000", True),
        ("http://localhost:8000", "127.0.0.1:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://localhost:9000", "localhost:8000", False),
        ("https://chat.example.org", "chat.example.org", True),
        ("https://chat.example.org", "10.0.0.5:8000", True),
        ("https://a.other.org", "10.0.0.5:8000", True),
        ("http://a.other.org", "10.0.0.5:8000", False),
        ("https://chat.example.org.evil.com", "chat.example.org", False),
        ("http://rebound.example", "rebound.example", False),
        ("null", "localhost:8000", False),
        ("http://localhost:99999", "localhost:8000", False),
        ("", "", False),
    ],
)
def test_which_origins_are_ours(settings: Settings, origin: str, host: str, ours: bool) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", "chat.example.org"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://chat.example.org", "https://*.other.org"]
    assert origin_is_ours(origin, host) is ours


async def test_a_user_finds_their_conversation_in_any_browser(
    browser: Browser, conversation: Conversation, user_make: Callable[..., User]
) -> None:
    from asgiref.sync import sync_to_async

    def sign_in() -> Browser:
        user = user_make("ada")
        Conversation.objects.filter(pk=conversation.pk).update(user=user)
        return Browser(user)

    elsewhere = await sync_to_async(sign_in)()
    async with elsewhere.open(conversation) as socket:
        assert await socket.usable()


async def test_a_changed_password_ends_what_the_user_could_open(
    browser: Browser, conversation: Conversation, user_make: Callable[..., User]
) -> None:
    from asgiref.sync import sync_to_async

    def sign_in() -> tuple[Browser, Conversation]:
        user = user_make("ada")
        Conversation.objects.filter(pk=conversation.pk).update(user=user)
        elsewhere = Browser(user)
        user.set_password("another one entirely")
        user.save()
        return elsewhere, elsewhere.start()

    elsewhere, begun_there = await sync_to_async(sign_in)()
    assert await refused(elsewhere.open(conversation))
    assert await refused(elsewhere.open(begun_there))


async def test_after_a_new_secret_key_a_page_still_knows_whom_a_socket_knew_first(
    conversation: Conversation, staff: Browser, settings: Settings
) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one entirely"
    async with staff.open(conversation) as socket:
        assert await socket.usable()
    page = AsyncClient()
    page.cookies.load(staff.cookie)
    assert (await page.get(f"/c/{conversation.pk}/")).status_code == 200


async def test_staff_read_and_do_not_write(
    browser: Browser,
    conversation: Conversation,
    staff: Browser,
    fake_engine: FakeEngine,
) -> None:
    async with browser.open(conversation) as mine, staff.open(conversation) as theirs:
        await theirs.say("Let me in")
        assert (await theirs.receive())["code"] == "invalid"
        await theirs.send("conversation.reset")
        assert (await theirs.receive())["code"] == "invalid"
        await mine.say("Hello")
        end = await theirs.next("reply.end")
        await theirs.send("reply.stop", message_id=end["message_id"])
        assert (await theirs.receive())["code"] == "invalid"
        await theirs.send("reply.resume", message_id=end["message_id"], after_seq=0)
        assert await theirs.next("reply.end") == end


@pytest.fixture
def _rights_looked_up_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conversations.chat_socket.RIGHTS_SECONDS", 0.0)


async def closed(socket: Socket) -> bool:
    """Whether the next that comes is the end of the socket, as for who may not read it."""
    end = await socket.communicator.receive_output(timeout=20)
    return bool(end == {"type": "websocket.close", "code": 4404})


@pytest.mark.usefixtures("_rights_looked_up_each_time")
async def test_an_open_socket_ends_with_the_session_it_was_opened_in(
    browser: Browser, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    async with browser.open(conversation) as socket:
        await socket.say("Hello")
        await socket.next("reply.end")
        await Session.objects.all().adelete()
        await socket.say("Still me")
        assert await closed(socket)
    assert not await Message.objects.filter(text="Still me").aexists()


@pytest.mark.usefixtures("_rights_looked_up_each_time")
async def test_staff_who_lose_their_rights_are_told_nothing_more(
    browser: Browser,
    conversation: Conversation,
    staff: Browser,
    fake_engine: FakeEngine,
) -> None:
    async with browser.open(conversation) as mine, staff.open(conversation) as theirs:
        await User.objects.filter(username="grace").aupdate(is_staff=False)
        await mine.say("Not for everybody")
        await mine.next("reply.end")
        assert await closed(theirs)
