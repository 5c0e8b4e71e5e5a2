"""Delivery reports: several for each text, in any order, more than once."""

from __future__ import annotations

import itertools

import pytest

from sms.models import Answer, DeliveryEvent, Thread
from tests.sms.conftest import Phone, SlowEngine
from tests.sms.payloads import sms, status

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("characters"),
]
SID = f"SM{'a' * 32}"


@pytest.fixture
async def answer(phone: Phone, engine: SlowEngine) -> Answer:
    await phone.says(sms("hello"))
    return await Answer.objects.aget()


@pytest.mark.parametrize("order", list(itertools.permutations(["queued", "sent", "delivered"])))
async def test_the_furthest_stage_stays_whatever_the_order(
    phone: Phone, answer: Answer, order: tuple[str, ...]
) -> None:
    for state in (*order, *order):
        response = await phone.report(status(SID, state), answer.pk)
        assert response.status_code == 204
    await answer.arefresh_from_db()
    assert (answer.delivery_status, answer.sid) == ("delivered", SID)
    history = [event.status async for event in DeliveryEvent.objects.filter(answer=answer)]
    assert history == list(order)


async def test_a_failure_keeps_its_code(phone: Phone, answer: Answer) -> None:
    await phone.report(status(SID, "undelivered", "30006"), answer.pk)
    await phone.report(status(SID, "sent"), answer.pk)
    await phone.report(status(SID, "delivered"), answer.pk)  # too late to be true
    await answer.arefresh_from_db()
    assert (answer.delivery_status, answer.error_code) == ("undelivered", "30006")


async def test_an_opt_out_told_by_a_report_is_respected(phone: Phone, answer: Answer) -> None:
    await phone.report(status(SID, "failed", "21610"), answer.pk)
    assert (await Thread.objects.aget()).opted_out_at
    assert await phone.says(sms("hello?")) is None


async def test_a_report_of_an_opt_out_told_again_does_not_undo_start(
    phone: Phone, answer: Answer
) -> None:
    await phone.report(status(SID, "failed", "21610"), answer.pk)
    await phone.says(sms("START"))
    await phone.report(status(SID, "failed", "21610"), answer.pk)
    assert (await Thread.objects.aget()).opted_out_at is None
    assert await phone.says(sms("hello?"))


async def test_an_opt_out_told_before_its_answer_is_known_is_respected(
    phone: Phone, answer: Answer
) -> None:
    await phone.report(status(SID, "failed", "21610"))
    await phone.report(status(SID, "queued"), answer.pk)
    assert (await Thread.objects.aget()).opted_out_at


async def test_a_report_finds_its_answer_by_sid(phone: Phone, answer: Answer) -> None:
    await phone.report(status(SID, "queued"), answer.pk)
    await phone.report(status(SID, "delivered"))
    await answer.arefresh_from_db()
    assert answer.delivery_status == "delivered"


async def test_a_report_that_is_early_is_tied_to_its_answer_later(
    phone: Phone, answer: Answer
) -> None:
    await phone.report(status(SID, "delivered"))
    await phone.report(status(SID, "queued"), answer.pk)
    await answer.arefresh_from_db()
    assert answer.delivery_status == "delivered"
    assert await DeliveryEvent.objects.filter(answer=answer).acount() == 2


async def test_reports_of_unknown_texts_and_of_new_stages_are_kept(phone: Phone) -> None:
    assert (await phone.report(status("SMother", "sent"))).status_code == 204
    assert (await phone.report(status(SID, "teleported"), "no-uuid")).status_code == 204
    assert await DeliveryEvent.objects.filter(answer=None).acount() == 2


@pytest.mark.parametrize(
    ("sid", "state", "error", "field"),
    [
        ("", "sent", "", b"MessageSid"),
        (SID, "", "", b"MessageStatus"),
        (SID, "<b>", "", b"MessageStatus"),
        (SID, "failed", "many", b"ErrorCode"),
    ],
)
async def test_a_wrong_field_is_400(
    phone: Phone, sid: str, state: str, error: str, field: bytes
) -> None:
    response = await phone.report(status(sid, state, error))
    assert response.status_code == 400
    assert field in response.content
    assert not await DeliveryEvent.objects.aexists()
