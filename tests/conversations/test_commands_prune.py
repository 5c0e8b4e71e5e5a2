"""prune_conversations: what goes, what stays, and what it says."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from conversations.models import Channel, Conversation, Message, Persona, Role
from conversations.services.messages import message_send
from conversations.services.retention import conversations_delete_batches

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


@pytest.fixture
def idle(persona: Persona) -> dict[int, Conversation]:
    """Conversations of two messages, by the days since anything happened in them."""
    made = {}
    for days in (0, 10, 100, 200):
        moment = timezone.now() - timedelta(days=days, minutes=1)
        conversation = Conversation.objects.create(
            persona=persona,
            channel=Channel.SMS if days == 200 else Channel.WEB,
            created_at=moment - timedelta(days=500),
            last_activity_at=moment,
        )
        for role in (Role.USER, Role.BOT):
            Message.objects.create(conversation=conversation, role=role, text="hi")
        made[days] = conversation
    return made


def prune(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("prune_conversations", "--json", *arguments, stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def left() -> set[Any]:
    return set(Conversation.objects.values_list("pk", flat=True))


def test_what_is_older_goes_with_its_messages(idle: dict[int, Conversation]) -> None:
    report = prune("--older-than", "90d")
    assert (report["conversations"], report["messages"], report["dry_run"]) == (2, 4, False)
    assert left() == {idle[0].pk, idle[10].pk}
    assert Message.objects.count() == 4


def test_a_dry_run_says_the_same_and_deletes_nothing(idle: dict[int, Conversation]) -> None:
    report = prune("--older-than", "1w", "--dry-run")
    assert (report["conversations"], report["messages"], report["dry_run"]) == (3, 6, True)
    assert len(left()) == 4


def test_only_one_channel(idle: dict[int, Conversation]) -> None:
    assert prune("--older-than", "1h", "--channel", "sms")["conversations"] == 1
    assert idle[200].pk not in left()


def test_only_what_nobody_wrote_in(idle: dict[int, Conversation], persona: Persona) -> None:
    old = timezone.now() - timedelta(days=30)
    empty = Conversation.objects.create(persona=persona, channel=Channel.WEB, last_activity_at=old)
    assert prune("--older-than", "20d", "--only-empty")["conversations"] == 1
    assert empty.pk not in left()
    assert len(left()) == 4


def test_many_go_in_batches(persona: Persona) -> None:
    old = timezone.now() - timedelta(days=30)
    Conversation.objects.bulk_create(
        Conversation(persona=persona, channel=Channel.WEB, last_activity_at=old) for _ in range(450)
    )
    assert prune("--older-than", "20d")["conversations"] == 450
    assert not left()


def test_the_report_for_people(idle: dict[int, Conversation]) -> None:
    out = StringIO()
    call_command("prune_conversations", "--older-than", "150d", "--dry-run", stdout=out)
    assert out.getvalue().startswith("Would delete 1 conversations with 2 messages, idle since")


@pytest.mark.parametrize("given", ["soon", "90", "-1d", "1y", "", "999999d"])
def test_a_wrong_time_is_explained(given: str) -> None:
    with pytest.raises(CommandError, match="write for example 36h, 90d or 12w"):
        prune(f"--older-than={given}")


def test_the_time_is_needed() -> None:
    with pytest.raises(CommandError, match="--older-than"):
        prune()


def test_what_begins_while_others_are_deleted_stays(
    idle: dict[int, Conversation], persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversations.services.retention.BATCH", 1)
    batches = conversations_delete_batches(conversations=Conversation.objects.all())
    next(batches)
    begun = Conversation.objects.create(persona=persona, channel=Channel.WEB)
    assert len(list(batches)) == len(idle) - 1
    assert left() == {begun.pk}


@pytest.mark.parametrize("only_empty", [False, True])
def test_what_somebody_comes_back_to_as_it_is_about_to_go_stays(
    persona: Persona, only_empty: bool
) -> None:
    old = timezone.now() - timedelta(days=30)
    _, kept = (
        Conversation.objects.create(
            persona=persona, channel=Channel.WEB, created_at=old, last_activity_at=old
        )
        for _ in range(2)
    )
    looked: list[str] = []
    came: list[str] = []

    def come_back(execute: Any, sql: str, *rest: Any) -> Any:
        """Before the first statement after that which looked for what is to go."""
        if looked and not came:
            came.append(sql)
            message_send(conversation=kept, text="I am back!", client_id=uuid4())
        if "LIMIT" in sql:
            looked.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(come_back):
        report = prune("--older-than", "20d", *["--only-empty"] * only_empty)
    assert (report["conversations"], report["messages"]) == (1, 0)
    assert left() == {kept.pk}
    assert Message.objects.count() == 2
