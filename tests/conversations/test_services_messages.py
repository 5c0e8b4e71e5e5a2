"""Sending messages and starting conversations, whatever the door."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection

from conversations.models import Channel, Conversation, Message, Persona, Role, Status
from conversations.selectors import conversations_of_owner
from conversations.services import messages
from conversations.services.conversations import (
    conversation_delete,
    conversation_rename,
    conversation_reset,
    conversation_start,
    persona_reveal,
)
from conversations.services.errors import (
    ConversationGone,
    ConversationInvalid,
    MessageInvalid,
    NoCharacter,
    StorageUnavailable,
)
from conversations.services.generation import conversation_turns
from conversations.services.messages import Exchange, message_send
from conversations.services.owners import Owner
from conversations.services.retention import message_delete
from conversations.services.statements import fetch
from inference.prompt import Turn

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]

ADA = Owner(browser_key="ada")


@pytest.fixture
def conversation(persona: Persona) -> Conversation:
    return conversation_start(channel=Channel.WEB, owner=ADA)


def send(conversation: Conversation, text: str, client_id: UUID | None = None) -> Exchange:
    return message_send(conversation=conversation, text=text, client_id=client_id or uuid4())


def test_a_message_and_its_waiting_reply_are_saved_together(conversation: Conversation) -> None:
    before = conversation.last_activity_at
    exchange = send(conversation, "Hello")
    question, reply = conversation.messages.all()
    assert (exchange.message, exchange.reply, exchange.created) == (question, reply, True)
    assert (question.role, question.text, question.status) == (Role.USER, "Hello", Status.COMPLETE)
    assert (reply.role, reply.text, reply.status) == (Role.BOT, "", Status.PENDING)
    assert reply.reply_to == question
    conversation.refresh_from_db()
    assert conversation.last_activity_at > before


def test_the_same_client_id_changes_nothing(conversation: Conversation) -> None:
    client_id = uuid4()
    first = send(conversation, "Hello", client_id)
    again = send(conversation, "Something else", client_id)
    assert (again.message, again.reply, again.created) == (first.message, first.reply, False)
    assert again.message.text == "Hello"
    assert Message.objects.count() == 2


def test_the_same_client_id_elsewhere_is_another_message(conversation: Conversation) -> None:
    other = conversation_reset(conversation=conversation)
    client_id = uuid4()
    assert send(conversation, "Hello", client_id).created
    assert send(other, "Hello", client_id).created


@pytest.mark.parametrize("status", [Status.FAILED, Status.INTERRUPTED])
def test_a_reply_that_failed_is_made_ready_to_run_again(
    conversation: Conversation, status: Status
) -> None:
    client_id = uuid4()
    reply = send(conversation, "Hello", client_id).reply
    Message.objects.filter(pk=reply.pk).update(
        status=status, text="We", token_ends=[2], error_code="busy", sampling={"seed": 1}
    )
    again = send(conversation, "Hello", client_id)
    assert not again.created
    assert again.reply == reply
    reply.refresh_from_db()
    assert (reply.status, reply.text, reply.token_ends) == (Status.PENDING, "", [])
    assert (reply.error_code, reply.sampling) == ("", {})


def test_a_reply_that_staff_deleted_gets_a_new_row(conversation: Conversation) -> None:
    client_id = uuid4()
    first = send(conversation, "Hello", client_id)
    message_delete(message=first.reply)
    again = send(conversation, "Hello", client_id)
    assert (again.message, again.created) == (first.message, False)
    reply = Message.objects.get(role=Role.BOT)
    assert again.reply == reply
    assert (reply.reply_to, reply.status) == (first.message, Status.PENDING)
    assert send(conversation, "Hello", client_id).reply == reply


@pytest.mark.parametrize(
    "status", [Status.PENDING, Status.STREAMING, Status.COMPLETE, Status.STOPPED]
)
def test_any_other_reply_is_left_as_it_is(conversation: Conversation, status: Status) -> None:
    client_id = uuid4()
    reply = send(conversation, "Hello", client_id).reply
    Message.objects.filter(pk=reply.pk).update(status=status, text="Well")
    assert send(conversation, "Hello", client_id).reply.status == status
    reply.refresh_from_db()
    assert (reply.status, reply.text) == (status, "Well")


def test_nothing_is_sent_into_a_deleted_conversation(conversation: Conversation) -> None:
    gone = Conversation.objects.get(pk=conversation.pk)
    conversation_delete(conversation=conversation)
    with pytest.raises(ConversationGone):
        send(gone, "Hello")


@pytest.mark.parametrize(("text", "code"), [("  ", "invalid"), ("x" * 1001, "too_long")])
def test_texts_that_cannot_be_sent(conversation: Conversation, text: str, code: str) -> None:
    with pytest.raises(MessageInvalid) as refusal:
        send(conversation, text)
    assert refusal.value.code == code
    assert not Message.objects.exists()


def run_at_once(calls: list[Callable[[], Exchange]]) -> list[Exchange]:
    results: list[Exchange] = []
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Exchange]) -> None:
        barrier.wait()
        try:
            results.append(call())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_one_message_sent_many_times_at_once_is_saved_once(conversation: Conversation) -> None:
    client_id = uuid4()
    results = run_at_once([lambda: send(conversation, "Hello", client_id)] * 6)
    assert len(results) == 6
    assert sum(exchange.created for exchange in results) == 1
    assert len({exchange.reply.pk for exchange in results}) == 1
    assert Message.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_message_is_deleted_in_turn_with_whoever_sends_it_again(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = send(conversation, "Hello", client_id := uuid4())

    def delete() -> None:
        try:
            message_delete(message=first.message)
        finally:
            connection.close()

    deleting = threading.Thread(target=delete)

    def found(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        rows = fetch(sql, params)
        deleting.start()
        deleting.join(0.3)
        return rows

    monkeypatch.setattr(messages, "fetch", found)
    assert send(conversation, "Hello", client_id).reply == first.reply
    deleting.join()
    assert not Message.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_messages_sent_at_once_keep_their_replies_beside_them(conversation: Conversation) -> None:
    results = run_at_once([lambda: send(conversation, "Hello")] * 6)
    assert len(results) == 6
    roles = list(conversation.messages.values_list("role", flat=True))
    assert roles == [Role.USER, Role.BOT] * 6
    for reply in conversation.messages.filter(role=Role.BOT):
        assert reply.reply_to_id == conversation.messages.filter(id__lt=reply.pk).last().pk  # type: ignore[union-attr]


def test_turns_are_what_was_really_said(conversation: Conversation) -> None:
    for text, answer, status in (
        ("one", "First.", Status.COMPLETE),
        ("two", "Second, I", Status.STOPPED),
        ("three", "Thi", Status.FAILED),
        ("four", "", Status.STOPPED),
    ):
        reply = send(conversation, text).reply
        Message.objects.filter(pk=reply.pk).update(status=status, text=answer)
    last = send(conversation, "five").reply
    send(conversation, "not yet")
    assert conversation_turns(conversation_id=conversation.pk, before_id=last.pk) == [
        Turn("person", "one"),
        Turn("bot", "First."),
        Turn("person", "two"),
        Turn("bot", "Second, I"),
        Turn("person", "three"),
        Turn("person", "four"),
        Turn("person", "five"),
    ]


def test_a_reset_brings_another_character(conversation: Conversation) -> None:
    other = Persona.objects.create(name="Otto", lines=["I bake."], digest="otto", source="test")
    for _ in range(10):
        successor = conversation_reset(conversation=conversation)
        assert successor.persona == other
        assert successor.pk != conversation.pk
        assert successor.browser_key == conversation.browser_key
        assert successor.channel == conversation.channel


def test_without_characters_no_conversation_starts() -> None:
    with pytest.raises(NoCharacter, match="load_personas"):
        conversation_start(channel=Channel.WEB, owner=ADA)


def test_titles(conversation: Conversation) -> None:
    conversation_rename(conversation=conversation, title="  The\nbus \x00 driver 👩‍👩‍👧 ")
    conversation.refresh_from_db()
    assert conversation.title == "The bus driver 👩‍👩‍👧"
    with pytest.raises(ConversationInvalid, match="80"):
        conversation_rename(conversation=conversation, title="x" * 81)
    conversation_rename(conversation=conversation, title=" ")
    assert conversation.title == ""


def test_the_character_is_revealed_once(conversation: Conversation) -> None:
    assert persona_reveal(conversation=conversation).name == "Brenda"
    first = conversation.revealed_at
    assert first
    persona_reveal(conversation=conversation)
    conversation.refresh_from_db()
    assert conversation.revealed_at == first


def test_a_conversation_that_has_just_been_deleted_is_not_changed(
    conversation: Conversation,
) -> None:
    Conversation.objects.filter(pk=conversation.pk).delete()
    with pytest.raises(ConversationGone):
        conversation_rename(conversation=conversation, title="The bus")
    with pytest.raises(ConversationGone):
        persona_reveal(conversation=conversation)
    assert (conversation.title, conversation.revealed_at) == ("", None)


def test_nobody_owns_conversations_without_an_owner(persona: Persona) -> None:
    conversation_start(channel=Channel.SMS, owner=Owner())
    assert not conversations_of_owner(owner=Owner()).exists()


def test_the_oldest_turns_leave_many_at_a_time(conversation: Conversation) -> None:
    rows = [
        Message(conversation=conversation, role=role, text=f"{number}", status=Status.COMPLETE)
        for number, role in enumerate([Role.USER, Role.BOT] * 80)
    ]
    Message.objects.bulk_create(rows)
    ids = list(conversation.messages.order_by("id").values_list("id", flat=True))
    starts = []
    for place in range(1, len(ids), 2):
        turns = conversation_turns(conversation_id=conversation.pk, before_id=ids[place])
        assert [int(turn.text) for turn in turns] == list(range(int(turns[0].text), place))
        assert len(turns) >= min(place, 32)
        starts.append(int(turns[0].text))
    assert sorted(set(starts)) == [0, 32, 64, 96]


def test_why_nothing_can_be_saved_is_in_the_log_and_what_was_said_is_not(
    persona: Persona, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    conversation = conversation_start(channel=Channel.WEB, owner=Owner())

    def full(*_: object, **__: object) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(messages, "_save", full)
    with pytest.raises(StorageUnavailable):
        message_send(conversation=conversation, text="my secret", client_id=uuid4())
    monkeypatch.setattr(Conversation, "save", full)
    with pytest.raises(StorageUnavailable):
        conversation_start(channel=Channel.WEB, owner=Owner())
    assert caplog.text.count("OperationalError: database or disk is full") == 2
    assert "my secret" not in caplog.text
