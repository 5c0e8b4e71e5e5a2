"""prune_conversations: which numbers go with what was said, and which are remembered."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import F

from conversations.models import Conversation
from sms.models import Answer, Contact, InboundMessage, Thread
from sms.numbers import Address
from sms.payload import IncomingText
from sms.services.inbound import text_receive
from tests.sms.payloads import OURS, PERSON

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("characters"),
]
OTHER = "+14155550199"


def says(body: str, number: str = PERSON) -> None:
    sid = f"SM{InboundMessage.objects.count()}"
    text_receive(text=IncomingText(sid, Address(number), Address(OURS), body))


def pass_days(days: int) -> None:
    age = timedelta(days=days)
    Contact.objects.update(created_at=F("created_at") - age)
    InboundMessage.objects.update(received_at=F("received_at") - age)
    Thread.objects.update(last_text_at=F("last_text_at") - age)
    Conversation.objects.update(last_activity_at=F("last_activity_at") - age)


def prune(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("prune_conversations", "--json", *arguments, stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def left() -> list[str]:
    return list(Contact.objects.order_by("number").values_list("number", flat=True))


def test_a_number_goes_with_its_last_chat_and_all_its_books() -> None:
    for body in ("hello", "/help", "/reset"):
        says(body)
    pass_days(20)
    says("hello", OTHER)
    report = prune("--older-than", "10d", "--dry-run")
    assert (report["conversations"], report["phone_numbers"]) == (2, 1)
    assert left() == [PERSON, OTHER]
    report = prune("--older-than", "10d")
    assert (report["conversations"], report["phone_numbers"]) == (2, 1)
    assert left() == [OTHER]
    assert InboundMessage.objects.count() == Answer.objects.count() == 1


def test_a_number_that_texts_again_stays_with_its_books() -> None:
    says("/help")
    pass_days(20)
    says("/help")
    assert prune("--older-than", "10d")["phone_numbers"] == 0
    assert InboundMessage.objects.count() == 2


@pytest.mark.parametrize("closed_by", ["STOP", "a block"])
def test_who_must_not_be_texted_is_remembered(closed_by: str) -> None:
    says("hello")
    if closed_by == "STOP":
        says("STOP")
    else:
        Contact.objects.update(is_blocked=True)
    pass_days(20)
    report = prune("--older-than", "10d")
    assert (report["conversations"], report["phone_numbers"]) == (1, 0)
    says("hello")
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("narrowed", ["--channel=web", "--only-empty"])
def test_numbers_stay_where_their_chats_are_not_meant(narrowed: str) -> None:
    says("hello")
    pass_days(20)
    assert not prune("--older-than", "10d", narrowed).get("phone_numbers")
    assert left() == [PERSON]


def test_a_number_is_kept_while_its_texts_count() -> None:
    says("hello")
    InboundMessage.objects.update(received_at=F("received_at") - timedelta(hours=2))
    Conversation.objects.update(last_activity_at=F("last_activity_at") - timedelta(hours=2))
    assert prune("--older-than", "1h")["phone_numbers"] == 0


def test_many_go_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sms.services.retention.BATCH", 2)
    Contact.objects.bulk_create(Contact(number=f"+1415555010{n}") for n in range(5))
    pass_days(20)
    out = StringIO()
    call_command("prune_conversations", "--older-than", "10d", stdout=out)
    assert out.getvalue().endswith(" Deleted 5 phone numbers.\n")
    assert not left()
