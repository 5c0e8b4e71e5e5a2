"""Deleting in the admin: how much at once, what stops, and what goes with an account."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from conversations.models import Channel, Conversation, Message, Persona, Role, Status
from conversations.services.events import ReplyEnded
from conversations.services.owners import Owner
from conversations.services.replies import message_post, reply_stream
from tests.fakes import FakeEngine

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]

CONVERSATIONS = "/admin/conversations/conversation/"
USERS = "/admin/auth/user/"


def many(persona: Persona, number: int, user: User | None = None) -> None:
    """Conversations of two messages each."""
    made = Conversation.objects.bulk_create(
        Conversation(persona=persona, channel=Channel.WEB, user=user) for _ in range(number)
    )
    Message.objects.bulk_create(
        Message(conversation=conversation, role=role, text="hello")
        for conversation in made
        for role in (Role.USER, Role.BOT)
    )


class TestManyAtOnce:
    def select_all(self, client: Client) -> str:
        first = Conversation.objects.earliest("pk")
        data = {
            "action": "delete_selected",
            "select_across": "1",
            "_selected_action": [str(first.pk)],
        }
        return client.post(CONVERSATIONS, data, follow=True).content.decode()

    def test_what_the_page_asks_about_can_be_deleted(
        self, admin_client: Client, persona: Persona
    ) -> None:
        many(persona, 900)
        text = self.select_all(admin_client)
        assert "Messages: 1800" in text
        chosen = re.findall(r'name="_selected_action" value="([^"]+)"', text)
        sure = {"csrfmiddlewaretoken": "x", "action": "delete_selected", "post": "yes"}
        data = sure | {"_selected_action": chosen}
        assert admin_client.post(CONVERSATIONS, data).status_code == 302
        assert not Conversation.objects.exists()

    def test_more_are_refused_with_a_way_out(self, admin_client: Client, persona: Persona) -> None:
        many(persona, 901)
        text = self.select_all(admin_client)
        assert "Nothing was deleted: more than 900 conversations are selected" in text
        assert "manage.py prune_conversations" in text
        assert Conversation.objects.count() == 901


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("rooms")
class TestReplies:
    """One that is being written, and one that waits for it."""

    @pytest.fixture
    def user(self, transactional_db: None) -> User:
        return User.objects.create_user("bo")

    @pytest.fixture
    def conversation(self, user: User, persona: Persona) -> Conversation:
        return Conversation.objects.create(persona=persona, channel=Channel.WEB, user=user)

    @pytest.fixture
    def staff(self, transactional_db: None) -> AsyncClient:
        client = AsyncClient()
        client.force_login(User.objects.create_superuser("ada"))
        return client

    @pytest.mark.parametrize("what", ["conversation", "chosen conversations", "account"])
    async def test_stop_when_their_conversation_is_deleted(
        self, staff: AsyncClient, conversation: Conversation, fake_engine: FakeEngine, what: str
    ) -> None:
        fake_engine.play("Hello", asyncio.Event())
        first, _ = [
            await message_post(
                conversation=conversation, text=text, client_id=uuid4(), owner=Owner()
            )
            for text in ("one", "two")
        ]
        stream = reply_stream(reply_id=first.reply.pk)
        await anext(stream)
        async with asyncio.timeout(10):
            await staff.post(*self.request(conversation, what))
            ended = [event async for event in stream][-1]
        assert isinstance(ended, ReplyEnded)
        assert ended.status in {Status.STOPPED, Status.INTERRUPTED}
        assert [call.left.is_set() for call in fake_engine.calls] == [True]
        assert not await Conversation.objects.aexists()

    def request(self, conversation: Conversation, what: str) -> tuple[str, dict[str, Any]]:
        sure = {"post": "yes"}
        match what:
            case "conversation":
                return f"{CONVERSATIONS}{conversation.pk}/delete/", sure
            case "account":
                return f"{USERS}{conversation.user_id}/delete/", sure
            case _:
                chosen = {"action": "delete_selected", "_selected_action": [str(conversation.pk)]}
                return CONVERSATIONS, chosen | sure

    async def test_stop_when_their_message_is_deleted(
        self, staff: AsyncClient, conversation: Conversation, fake_engine: FakeEngine
    ) -> None:
        fake_engine.play("Hello", asyncio.Event())
        exchange = await message_post(
            conversation=conversation, text="hi", client_id=uuid4(), owner=Owner()
        )
        stream = reply_stream(reply_id=exchange.reply.pk)
        await anext(stream)
        path = f"/admin/conversations/message/{exchange.message.pk}/delete/"
        async with asyncio.timeout(10):
            await staff.post(path, {"post": "yes"})
            assert isinstance([event async for event in stream][-1], ReplyEnded)
        assert fake_engine.calls[0].left.is_set()
        assert not await Message.objects.aexists()

    async def test_go_on_for_those_who_may_not_delete(
        self, conversation: Conversation, fake_engine: FakeEngine
    ) -> None:
        go_on = asyncio.Event()
        fake_engine.play("Hello", go_on, " there.")
        exchange = await message_post(
            conversation=conversation, text="hi", client_id=uuid4(), owner=Owner()
        )
        stream = reply_stream(reply_id=exchange.reply.pk)
        await anext(stream)
        reader = AsyncClient()
        await reader.aforce_login(await User.objects.acreate_user("eve", is_staff=True))
        for what in ("conversation", "account"):
            assert (await reader.post(*self.request(conversation, what))).status_code == 403
        go_on.set()
        assert [event async for event in stream][-1] == ReplyEnded("Hello there.", Status.COMPLETE)


class TestAccounts:
    def test_page_says_how_much_goes_with_one(self, admin_client: Client, persona: Persona) -> None:
        user = User.objects.create_user("bo")
        many(persona, 200, user)
        path = f"{USERS}{user.pk}/delete/"
        with CaptureQueriesContext(connection) as queries:
            text = admin_client.get(path).content.decode()
        assert "Conversations: 200" in text
        assert "Messages: 400" in text
        assert "API tokens" not in text
        assert "hello" not in text
        assert str(Conversation.objects.earliest("pk").pk) not in text
        assert len(queries) <= 10

    def test_one_is_deleted_with_its_conversations(
        self, admin_client: Client, persona: Persona
    ) -> None:
        bo, kim, kept = [User.objects.create_user(name) for name in ("bo", "kim", "kept")]
        for user in (bo, kim, kept):
            many(persona, 3, user)
        admin_client.post(f"{USERS}{bo.pk}/delete/", {"post": "yes"})
        data = {"action": "delete_selected", "_selected_action": [kim.pk], "post": "yes"}
        admin_client.post(USERS, data)
        assert set(User.objects.values_list("username", flat=True)) == {"admin", "kept"}
        assert {each.user for each in Conversation.objects.all()} == {kept}
        assert Message.objects.count() == 6
        assert LogEntry.objects.count() == 2

    def test_conversations_are_deleted_only_by_those_who_may(
        self, client: Client, persona: Persona
    ) -> None:
        staff = User.objects.create_user("ada", is_staff=True)
        staff.user_permissions.add(Permission.objects.get(codename="delete_user"))
        client.force_login(staff)
        user, silent = User.objects.create_user("bo"), User.objects.create_user("kim")
        many(persona, 1, user)
        path = f"{USERS}{user.pk}/delete/"
        assert "<li>conversation</li>" in client.get(path).content.decode()
        assert client.post(path, {"post": "yes"}).status_code == 403
        assert Message.objects.count() == 2
        assert client.post(f"{USERS}{silent.pk}/delete/", {"post": "yes"}).status_code == 302
        assert not User.objects.filter(username="kim").exists()
