"""Replies that are not ready in time, sent through Twilio's REST API."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.utils import timezone

from conversations.models import Message, Status
from conversations.services.errors import ServiceError
from inference.errors import EngineBusy, EngineStopped
from sms import wording
from sms.client import TryLater
from sms.models import Answer, Contact, State, Thread
from sms.payload import IncomingText
from sms.services.inbound import Receipt, text_receive
from sms.services.threads import contact_save
from sms.services.worker import Worker
from tests.sms.conftest import Phone, SlowEngine
from tests.sms.payloads import OURS, PERSON, sms, status, whatsapp
from tests.sms.twilio_api import TwilioApi

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("characters"),
]


@pytest.fixture(autouse=True)
def _no_time(env: Any) -> None:
    env(sms_deadline=0.05)


async def late(phone: Phone, engine: SlowEngine, form: dict[str, str]) -> Answer:
    """Text, and be answered with empty TwiML because the reply takes long."""
    engine.hold()
    assert await phone.says(form) is None
    engine.release()
    return await Answer.objects.select_related("inbound").alatest("inbound_id")


async def settled(answer: Answer) -> Answer:
    await Worker.here().deliver(answer.pk)
    await answer.arefresh_from_db()
    return answer


async def due_now() -> None:
    await Answer.objects.filter(due_at__isnull=False).aupdate(due_at=timezone.now())


async def test_a_late_reply_is_sent_once(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    form = sms("slow one")
    answer = await settled(await late(phone, engine, form))
    assert answer.state == State.SENT
    (text,) = twilio_api.texts
    assert (text["to"], text["from"]) == (PERSON, OURS)
    assert text["body"] == f"{wording.GREETING}\nYou said slow one."
    assert text["status_callback"] == f"https://chat.example.org/sms/status/?answer={answer.pk}"
    assert answer.sid == text["sid"]
    assert answer.delivery_status == "queued"
    # Twilio's retry and every later round find it done.
    assert await phone.says(form) is None
    await Worker.here().settle_due()
    assert len(twilio_api.texts) == 1
    assert engine.asked == ["slow one"]


async def test_whatsapp_answers_go_out_through_whatsapp(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    await settled(await late(phone, engine, whatsapp("slow")))
    (text,) = twilio_api.texts
    assert (text["to"], text["from"]) == (f"whatsapp:{PERSON}", f"whatsapp:{OURS}")


@pytest.mark.parametrize("step", [429, 500, 503])
async def test_a_passing_trouble_is_tried_again_after_a_pause(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, step: int
) -> None:
    twilio_api.script = [step, step]
    answer = await settled(await late(phone, engine, sms("slow")))
    assert answer.state == State.OWED
    assert answer.due_at
    assert timedelta(seconds=1) < answer.due_at - timezone.now() < timedelta(seconds=3)
    first_pause = answer.due_at - timezone.now()
    assert twilio_api.attempts == 1
    await Worker.here().settle_due()  # not due yet
    assert twilio_api.attempts == 1
    await due_now()
    await Worker.here().settle_due()
    await answer.arefresh_from_db()
    assert answer.state == State.OWED
    assert answer.due_at - timezone.now() > 2 * first_pause
    await due_now()
    assert (await settled(answer)).state == State.SENT
    assert len(twilio_api.texts) == 1


async def test_trouble_without_end_ends_as_failed(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    twilio_api.script = [429] * 20
    answer = await settled(await late(phone, engine, sms("slow")))
    for _ in range(6):
        await due_now()
        await settled(answer)
    assert answer.state == State.FAILED
    assert answer.error_code == "20429"
    assert twilio_api.attempts == 7


@pytest.mark.parametrize("code", [21610, 30006, 21211])
async def test_a_refusal_is_final(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, code: int
) -> None:
    twilio_api.script = [(400, code)]
    answer = await settled(await late(phone, engine, sms("slow")))
    assert (answer.state, answer.error_code) == (State.FAILED, str(code))
    await due_now()
    await Worker.here().settle_due()
    assert twilio_api.attempts == 1
    thread = await Thread.objects.aget()
    assert bool(thread.opted_out_at) == (code == 21610)


async def test_a_text_taken_in_spite_of_a_500_is_not_sent_again(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    twilio_api.script = ["taken 500"]
    answer = await settled(await late(phone, engine, sms("slow")))
    assert answer.state == State.OWED
    await due_now()
    await settled(answer)
    assert answer.state == State.SENT
    assert answer.sid == twilio_api.texts[0]["sid"]
    assert len(twilio_api.texts) == 1


async def test_a_text_taken_in_spite_of_a_500_is_not_given_to_a_copy_of_the_request(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, env: Any
) -> None:
    twilio_api.script = ["taken 500"]
    form = sms("slow")
    answer = await settled(await late(phone, engine, form))
    env(sms_deadline=60)
    assert await phone.says(form) is None
    await due_now()
    await settled(answer)
    assert answer.sid == twilio_api.texts[0]["sid"]
    assert len(twilio_api.texts) == 1


async def test_an_unknown_outcome_is_never_sent_again_and_looked_up(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    twilio_api.script = ["lost"]
    answer = await settled(await late(phone, engine, sms("slow")))
    assert answer.state == State.UNKNOWN
    await due_now()
    await Worker.here().settle_due()
    await answer.arefresh_from_db()
    assert answer.state == State.SENT
    assert answer.sid == twilio_api.texts[0]["sid"]
    assert twilio_api.attempts == 1


async def test_an_unknown_outcome_that_twilio_does_not_know_stays_unknown(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    twilio_api.script = ["lost"]
    answer = await settled(await late(phone, engine, sms("slow")))
    twilio_api.texts.clear()
    await due_now()
    await Worker.here().settle_due()
    await answer.arefresh_from_db()
    assert (answer.state, answer.due_at) == (State.UNKNOWN, None)
    assert twilio_api.attempts == 1


async def test_a_status_callback_settles_an_unknown_outcome(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    twilio_api.script = ["lost"]
    answer = await settled(await late(phone, engine, sms("slow")))
    sid = twilio_api.texts[0]["sid"]
    await phone.report(status(sid, "delivered"), answer.pk)
    await answer.arefresh_from_db()
    assert (answer.state, answer.sid) == (State.SENT, sid)
    assert answer.delivery_status == "delivered"


async def test_no_connection_is_tried_again(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, env: Any
) -> None:
    base = twilio_api.base
    env(twilio_api_base="http://127.0.0.1:9")
    answer = await settled(await late(phone, engine, sms("slow")))
    assert (answer.state, answer.error_code) == (State.OWED, "connection")
    env(twilio_api_base=base)
    await due_now()
    assert (await settled(answer)).state == State.SENT


async def test_a_process_that_died_while_sending_leaves_an_unknown_outcome(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    answer = await settled(await late(phone, engine, sms("slow")))
    await Answer.objects.aupdate(
        state=State.SENDING, sid="", claimed_at=timezone.now() - timedelta(minutes=3)
    )
    twilio_api.texts.clear()
    await Worker.here().settle_due()
    await answer.arefresh_from_db()
    assert answer.state == State.UNKNOWN
    assert twilio_api.attempts == 1


async def test_answers_of_one_thread_are_sent_in_order(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, env: Any
) -> None:
    twilio_api.script = [429]
    first = await settled(await late(phone, engine, sms("first")))
    assert first.state == State.OWED
    assert await phone.says(sms("/help")) is None  # waits for the first one
    second = await Answer.objects.alatest("inbound_id")
    assert await Worker.here().deliver(second.pk) is None
    await due_now()
    await Worker.here().settle_due()
    bodies = [text["body"].splitlines()[-1] for text in twilio_api.texts]
    assert bodies == ["You said first.", wording.HELP]


async def test_stop_cancels_what_is_owed(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    twilio_api.script = [429]
    answer = await settled(await late(phone, engine, sms("slow")))
    await phone.says(sms("STOP"))
    await due_now()
    await Worker.here().settle_due()
    await answer.arefresh_from_db()
    assert answer.state == State.CANCELLED
    assert twilio_api.texts == []


async def test_after_a_restart_the_command_sends_what_is_owed(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, env: Any
) -> None:
    env(twilio_account_sid="")  # so that the server does not send it
    engine.hold()
    assert await phone.says(sms("cut off")) is None
    engine.release()
    await _everything_written()
    # What a crash leaves, and what the start of the next server makes of it.
    await Message.objects.filter(role="bot").aupdate(status=Status.INTERRUPTED, text="You sa")
    env(twilio_account_sid=f"AC{'1' * 32}")
    out = StringIO()
    await sync_to_async(call_command)("deliver_pending_sms", json=True, stdout=out)
    assert json.loads(out.getvalue()) == {
        "sent": 1,
        "failed": 0,
        "unknown": 0,
        "owed": 0,
        "owed_and_due": 0,
    }
    assert twilio_api.texts[0]["body"].endswith("You said cut off.")
    assert engine.asked == ["cut off", "cut off"]
    await sync_to_async(call_command)("deliver_pending_sms", stdout=StringIO())
    assert len(twilio_api.texts) == 1


async def test_the_command_tells_of_failures_and_of_missing_settings(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, env: Any
) -> None:
    env(twilio_account_sid="")
    await late(phone, engine, sms("slow"))
    await _everything_written()
    out = StringIO()
    await sync_to_async(call_command)("deliver_pending_sms", dry_run=True, stdout=out)
    assert "owed and due: 1" in out.getvalue()
    with pytest.raises(CommandError, match="TWILIO_ACCOUNT_SID"):
        await sync_to_async(call_command)("deliver_pending_sms")
    env(twilio_account_sid=f"AC{'1' * 32}")
    twilio_api.script = [(400, 21211)]
    with pytest.raises(CommandError, match="Not every answer"):
        await sync_to_async(call_command)("deliver_pending_sms", stdout=StringIO())


async def test_server_and_command_at_once_send_one_text(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, env: Any
) -> None:
    env(twilio_account_sid="")
    for number in range(5):
        await late(phone, engine, sms(f"text {number}", From=f"+1415555010{number}"))
    await _everything_written()
    env(twilio_account_sid=f"AC{'1' * 32}")
    workers = [Worker() for _ in range(4)]
    await asyncio.gather(*(worker.settle_due() for worker in workers))
    assert len(twilio_api.texts) == 5
    assert len({text["body"] for text in twilio_api.texts}) == 5


async def _everything_written() -> None:
    """Wait until no reply is being written; each ends in an awaited stream."""
    from conversations.services.replies import reply_stream

    async for reply in Message.objects.filter(role="bot"):
        async for _ in reply_stream(reply_id=reply.pk):
            pass


async def test_the_time_to_save_a_text_is_part_of_what_twilio_waits(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*, text: IncomingText) -> Receipt:
        time.sleep(0.1)
        return text_receive(text=text)

    monkeypatch.setattr("sms.views.text_receive", slowly)
    assert await phone.says(sms("in no hurry")) is None
    answer = await Answer.objects.select_related("inbound").alatest("inbound_id")
    assert (await settled(answer)).state == State.SENT


async def test_a_reply_that_cannot_be_had_again_is_apologised_for(
    phone: Phone, engine: SlowEngine, env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise ServiceError("invalid", "Not any more.")

    env(sms_deadline=60)
    monkeypatch.setattr("sms.services.answers.chat_send", refuse)
    engine.error = EngineStopped("gone")
    assert wording.NO_WORDS in str(await phone.says(sms("hello")))


async def test_without_the_rest_api_a_late_reply_holds_up_no_later_text(
    phone: Phone, engine: SlowEngine, env: Any
) -> None:
    await late(phone, engine, sms("slow one"))
    env(sms_deadline=60, twilio_account_sid="")
    assert await phone.says(sms("/help")) == wording.HELP
    assert await phone.says(sms("still there?")) == "You said still there?."


async def test_a_full_engine_is_waited_for(
    phone: Phone, engine: SlowEngine, env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    env(sms_deadline=60)
    monkeypatch.setattr("sms.services.answers.RUNS", 1)
    engine.error = EngineBusy(256, 0.4)
    saying = asyncio.create_task(phone.says(sms("hello")))
    await engine.begun.wait()
    engine.error = None
    assert await saying == f"{wording.GREETING}\nYou said hello."


async def test_what_waits_for_an_earlier_text_holds_up_nobody_else(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await late(phone, engine, sms("slow one"))
    for _ in range(3):
        await phone.says(sms("/help"))
    other = await late(phone, engine, sms("me too", From="+14155550199"))
    for answer in [answer async for answer in Answer.objects.order_by("inbound_id")]:
        await settled(answer)
    await Answer.objects.aupdate(state=State.OWED, due_at=timezone.now())
    await Answer.objects.filter(pk=first.pk).aupdate(due_at=timezone.now() + timedelta(hours=1))
    monkeypatch.setattr("sms.services.answers.DUE_AT_ONCE", 3)
    twilio_api.texts.clear()
    await Worker.here().settle_due()
    await other.arefresh_from_db()
    assert other.state == State.SENT
    assert [text["to"] for text in twilio_api.texts] == ["+14155550199"]


async def test_nothing_goes_out_to_a_blocked_number(
    phone: Phone, engine: SlowEngine, twilio_api: TwilioApi
) -> None:
    twilio_api.script = [429]
    answer = await settled(await late(phone, engine, sms("slow one")))
    assert answer.state == State.OWED
    contact = await Contact.objects.aget()
    contact.is_blocked = True
    await sync_to_async(contact_save)(contact=contact)
    await due_now()
    await Worker.here().settle_due()
    await answer.arefresh_from_db()
    assert answer.state == State.CANCELLED
    assert twilio_api.texts == []


@pytest.mark.parametrize("closed_by", ["STOP", "a block"])
async def test_what_is_being_sent_as_a_line_closes_is_not_tried_again(
    phone: Phone,
    engine: SlowEngine,
    twilio_api: TwilioApi,
    monkeypatch: pytest.MonkeyPatch,
    closed_by: str,
) -> None:
    sending, closed = threading.Event(), threading.Event()

    def send(_: Answer) -> TryLater:
        sending.set()
        closed.wait(10)
        return TryLater("connection", is_uncertain=False)

    with monkeypatch.context() as attempt:
        attempt.setattr("sms.services.delivery._send", send)
        answer = await late(phone, engine, sms("slow one"))
        delivered = Worker.here().deliver(answer.pk)
        assert await asyncio.to_thread(sending.wait, 10)
        if closed_by == "STOP":
            await phone.says(sms("STOP"))
        else:
            contact = await Contact.objects.aget()
            contact.is_blocked = True
            await sync_to_async(contact_save)(contact=contact)
        closed.set()
        assert await delivered == State.OWED
    await due_now()
    await Worker.here().settle_due()
    await answer.arefresh_from_db()
    assert answer.state == State.CANCELLED
    assert twilio_api.texts == []
