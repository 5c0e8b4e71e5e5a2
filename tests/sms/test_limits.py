"""What one number may cost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sms import wording
from sms.models import Contact, InboundMessage, Kind
from tests.sms.conftest import Phone, SlowEngine
from tests.sms.payloads import PERSON, sms

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("characters"),
]
OTHER = "+14155550199"


async def test_too_many_texts_are_said_so_once(phone: Phone, engine: SlowEngine, env: Any) -> None:
    env(sms_rate="2/minute")
    assert await phone.says(sms("one"))
    assert await phone.says(sms("/help"))
    assert await phone.says(sms("three")) == wording.LIMITED["number"]
    assert await phone.says(sms("four")) is None
    assert await phone.says(sms("other", From=OTHER))
    assert engine.asked == ["one", "other"]
    await _pass(seconds=61)
    assert await phone.says(sms("five")) == "You said five."


async def test_the_refused_text_again_is_answered_the_same(
    phone: Phone, engine: SlowEngine, env: Any
) -> None:
    env(sms_rate="1/minute")
    await phone.says(sms("one"))
    form = sms("two")
    assert await phone.says(form) == wording.LIMITED["number"]
    assert await phone.says(form) == wording.LIMITED["number"]


async def test_the_daily_cap(phone: Phone, engine: SlowEngine, env: Any) -> None:
    env(sms_daily_cap=2)
    await phone.says(sms("one"))
    await _pass(seconds=3600)
    await phone.says(sms("two"))
    assert await phone.says(sms("three")) == wording.LIMITED["day"]
    await _pass(seconds=3600)
    assert await phone.says(sms("four")) is None
    await _pass(seconds=23 * 3600)
    assert await phone.says(sms("five"))
    assert engine.asked == ["one", "two", "five"]


async def test_the_limit_of_everybody_together(phone: Phone, engine: SlowEngine, env: Any) -> None:
    env(sms_global_rate="1/minute")
    await phone.says(sms("one"))
    assert await phone.says(sms("two", From=OTHER)) == wording.LIMITED["global"]
    assert await phone.says(sms("three", From=OTHER)) is None
    assert await phone.says(sms("four")) == wording.LIMITED["global"]


async def test_stop_works_over_the_limit(phone: Phone, engine: SlowEngine, env: Any) -> None:
    env(sms_rate="1/minute")
    await phone.says(sms("one"))
    await phone.says(sms("STOP"))
    assert (await InboundMessage.objects.alatest("id")).kind == Kind.STOP


async def test_a_blocked_number_is_not_answered(phone: Phone, engine: SlowEngine) -> None:
    await Contact.objects.acreate(number=PERSON, is_blocked=True)
    for body in ("hello", "/help"):
        assert await phone.says(sms(body)) is None
    assert engine.asked == []
    assert {row.kind async for row in InboundMessage.objects.all()} == {Kind.BLOCKED}


async def test_stop_from_a_blocked_number_is_kept_for_when_it_is_not(
    phone: Phone, engine: SlowEngine
) -> None:
    contact = await Contact.objects.acreate(number=PERSON, is_blocked=True)
    assert await phone.says(sms("STOP")) is None
    contact.is_blocked = False
    await contact.asave()
    assert await phone.says(sms("hello")) is None
    assert engine.asked == []


async def _pass(*, seconds: int) -> None:
    async for row in InboundMessage.objects.all():
        row.received_at -= timedelta(seconds=seconds)
        await row.asave()
