"""Texts that arrive in the same moment, each in a thread with a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier, Event
from typing import TypeVar

import pytest
from django.db import connections, transaction
from django.utils import timezone

from conversations.models import Conversation, Message
from sms.models import Answer, Contact, InboundMessage, State, Thread
from sms.numbers import Address
from sms.payload import IncomingText
from sms.services.answers import answer_take_for_rest
from sms.services.inbound import text_receive
from sms.services.status import status_note
from sms.services.threads import contacts_delete, thread_lock
from tests.sms.payloads import OURS, PERSON

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("characters"),
]
T = TypeVar("T")
THREADS = 8


def at_once(call: Callable[[int], T]) -> list[T]:
    barrier = Barrier(THREADS)

    def run(number: int) -> T:
        try:
            barrier.wait()
            return call(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def text(sid: str, body: str = "hello") -> IncomingText:
    return IncomingText(sid, Address(PERSON), Address(OURS), body)


def test_copies_of_one_text_are_one_text() -> None:
    receipts = at_once(lambda _: text_receive(text=text("SM1")))
    assert len({receipt.answer.pk for receipt in receipts if receipt.answer}) == 1
    assert InboundMessage.objects.count() == Answer.objects.count() == 1
    assert Message.objects.count() == 2


def test_first_texts_of_one_number_share_a_chat() -> None:
    at_once(lambda number: text_receive(text=text(f"SM{number}")))
    assert Contact.objects.count() == Thread.objects.count() == Conversation.objects.count() == 1
    assert Message.objects.count() == 2 * THREADS
    prefixed = Answer.objects.exclude(prefix="")
    assert prefixed.count() == 1  # greeted once
    assert prefixed.get().inbound_id == InboundMessage.objects.earliest("id").pk


def test_texts_after_a_long_silence_begin_one_chat() -> None:
    text_receive(text=text("SMfirst"))
    old = timezone.now() - timedelta(hours=1)
    Thread.objects.update(last_text_at=old)
    Conversation.objects.update(last_activity_at=old)
    at_once(lambda number: text_receive(text=text(f"SM{number}")))
    assert Conversation.objects.count() == 2


@contextmanager
def being_deleted(model: type[Conversation | Contact]) -> Iterator[None]:
    """What comes now comes as staff delete all rows of the model."""
    is_locked = Event()

    def delete() -> None:
        try:
            with transaction.atomic():
                list(model.objects.select_for_update())
                is_locked.set()
                time.sleep(0.3)
                model.objects.all().delete()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        deletion = pool.submit(delete)
        assert is_locked.wait(10)
        yield
        deletion.result()


@pytest.mark.parametrize("deleted", [Conversation, Contact])
@pytest.mark.parametrize("body", ["hello again", "/who"])
def test_a_text_that_comes_as_staff_delete_its_chat_or_number_begins_another_chat(
    deleted: type[Conversation | Contact], body: str
) -> None:
    text_receive(text=text("SMfirst"))
    with being_deleted(deleted):
        receipt = text_receive(text=text("SMnext", body))
    assert receipt.answer
    assert receipt.answer.prefix  # greeted anew
    assert Thread.objects.get().conversation == Conversation.objects.latest("created_at")


def test_a_stop_that_comes_as_staff_delete_its_chat_is_not_lost() -> None:
    text_receive(text=text("SMfirst"))
    with being_deleted(Conversation):
        text_receive(text=text("SMnext", "STOP"))
    assert Thread.objects.get().opted_out_at
    assert not Conversation.objects.exists()


def test_a_number_is_deleted_in_turn_with_what_it_sends() -> None:
    text_receive(text=text("SMfirst"))

    def delete() -> None:
        try:
            contacts_delete(contacts=Contact.objects.all())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            thread_lock(text=text("SMnext"))
            deletion = pool.submit(delete)
            time.sleep(0.3)
            text_receive(text=text("SMnext"))
        deletion.result()
    assert not Contact.objects.exists()
    assert not InboundMessage.objects.exists()


def test_an_owed_answer_is_taken_by_one() -> None:
    text_receive(text=text("SM1", "/help"))
    Answer.objects.update(due_at=timezone.now())
    answer_id = Answer.objects.get().pk
    taken = at_once(lambda _: answer_take_for_rest(answer_id=answer_id))
    assert len([each for each in taken if each]) == 1
    answer = Answer.objects.get()
    assert (answer.state, answer.attempts) == (State.SENDING, 1)


def test_reports_at_once_lose_nothing() -> None:
    text_receive(text=text("SM1", "/help"))
    answer_id = Answer.objects.get().pk
    stages = ["queued", "sending", "sent", "delivered"] * 2
    at_once(lambda n: status_note(answer_id=answer_id, sid="SMout", status=stages[n]))
    answer = Answer.objects.get()
    assert answer.delivery_status == "delivered"
    assert answer.events.count() == 4


def test_the_limit_holds_for_texts_at_once(env: Callable[..., None]) -> None:
    env(sms_rate="3/minute")
    at_once(lambda number: text_receive(text=text(f"SM{number}")))
    assert InboundMessage.objects.filter(kind="chat").count() == 3
    limited = InboundMessage.objects.filter(kind="limited")
    assert limited.count() == THREADS - 3
    assert limited.filter(answer__isnull=False).count() == 1
