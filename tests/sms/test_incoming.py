"""What a person gets back who texts the number."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from conversations.models import Channel, Conversation, Message, Persona, Status
from inference.errors import EngineStopped
from sms import wording
from sms.models import Answer, Contact, InboundMessage, Kind, State, Thread
from tests.sms.conftest import Phone, SlowEngine
from tests.sms.payloads import OURS, PERSON, mms, opt_out, sms, whatsapp

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("characters"),
]


async def test_a_text_is_answered_by_a_character(phone: Phone, engine: SlowEngine) -> None:
    assert await phone.says(sms("hello")) == f"{wording.GREETING}\nYou said hello."
    assert await phone.says(sms("and now?")) == "You said and now?."

    conversation = await Conversation.objects.aget()
    assert conversation.channel == Channel.SMS
    texts = [m.text async for m in Message.objects.filter(conversation=conversation)]
    assert texts == ["hello", "You said hello.", "and now?", "You said and now?."]
    answer = await Answer.objects.alatest("created_at")
    assert (answer.state, answer.encoding, answer.segments) == (State.ANSWERED, "GSM-7", 1)
    contact = await Contact.objects.aget()
    assert contact.number == PERSON


async def test_the_same_message_again_is_answered_the_same(
    phone: Phone, engine: SlowEngine
) -> None:
    form = sms("once")
    first = await phone.text(form)
    again = await phone.text(form)
    assert again.content == first.content
    assert engine.asked == ["once"]
    assert await InboundMessage.objects.acount() == 1


async def test_copies_at_the_same_time_are_answered_the_same(
    phone: Phone, engine: SlowEngine
) -> None:
    engine.hold()
    form = sms("at once")
    copies = [asyncio.create_task(phone.text(form)) for _ in range(5)]
    await engine.begun.wait()
    engine.release()
    answers = {(await copy).content for copy in copies}
    assert len(answers) == 1
    assert b"You said at once." in answers.pop()
    assert engine.asked == ["at once"]
    assert await Message.objects.acount() == 2


async def test_a_burst_is_answered_in_order(phone: Phone, engine: SlowEngine) -> None:
    engine.hold()
    tasks = []
    for number in range(3):
        tasks.append(asyncio.create_task(phone.says(sms(f"text {number}"))))
        while await InboundMessage.objects.acount() <= number:
            await asyncio.sleep(0)
    engine.release()
    assert [str(await task).splitlines()[-1] for task in tasks] == [
        "You said text 0.",
        "You said text 1.",
        "You said text 2.",
    ]
    handed = Answer.objects.order_by("handed_over_at").values_list("inbound_id", flat=True)
    order = [pk async for pk in handed]
    assert order == sorted(order)


@pytest.mark.parametrize("command", ["/reset", " /RESET ", "/ Reset", "/reset."])
async def test_reset_brings_another_character(
    phone: Phone, engine: SlowEngine, command: str
) -> None:
    await phone.says(sms("hello"))
    before = await Conversation.objects.select_related("persona").aget()
    assert await phone.says(sms(command)) == wording.RESET
    assert await phone.says(sms("you there?")) == "You said you there?."
    thread = await Thread.objects.select_related("conversation__persona").aget()
    assert thread.conversation is not None
    assert thread.conversation.pk != before.pk
    assert thread.conversation.persona != before.persona
    assert engine.asked == ["hello", "you there?"]


async def test_who_and_help(phone: Phone, engine: SlowEngine) -> None:
    await phone.says(sms("hello"))
    conversation = await Conversation.objects.select_related("persona").aget()
    who = await phone.says(sms(" /Who "))
    assert who is not None
    assert who.startswith(f"You are talking to {conversation.persona.name}.")
    await conversation.arefresh_from_db()
    assert conversation.revealed_at
    assert await phone.says(sms("/HELP")) == wording.HELP
    assert await phone.says(sms("/dance")) == wording.UNKNOWN_COMMAND
    assert engine.asked == ["hello"]


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        *((sms(word), Kind.STOP) for word in ("STOP", " stop ", "Unsubscribe", "END", "QUIT")),
        *((sms(word), Kind.STOP) for word in ("CANCEL", "STOPALL", "REVOKE", "OPTOUT")),
        (sms("start"), Kind.START),
        (sms("UNSTOP"), Kind.START),
        (sms("help"), Kind.HELP),
        (sms("INFO"), Kind.HELP),
        (opt_out("arrêt", "STOP"), Kind.STOP),
        (opt_out("hilfe", "HELP"), Kind.HELP),
    ],
    ids=lambda value: value["Body"] if isinstance(value, dict) else value,
)
async def test_the_carriers_words_are_recorded_and_not_answered(
    phone: Phone, engine: SlowEngine, form: dict[str, str], kind: Kind
) -> None:
    assert await phone.says(form) is None
    assert (await InboundMessage.objects.aget()).kind == kind
    assert engine.asked == []
    assert not await Message.objects.aexists()
    opted_out_at = (await Thread.objects.aget()).opted_out_at
    assert bool(opted_out_at) == (kind == Kind.STOP)


async def test_after_stop_nothing_is_answered_until_start(phone: Phone, engine: SlowEngine) -> None:
    assert await phone.says(sms("Yes"))  # a word like any other
    await phone.says(sms("STOP"))
    assert await phone.says(sms("hello?")) is None
    assert await phone.says(sms("/help")) is None
    assert await phone.says(sms("yes")) is None  # opts in again
    assert await phone.says(sms("yes")) == "You said yes."
    assert engine.asked == ["Yes", "yes"]


async def test_pictures_get_a_friendly_line(phone: Phone, engine: SlowEngine) -> None:
    assert await phone.says(mms()) == wording.MEDIA
    assert engine.asked == []
    answer = await phone.says(mms("my dog"))
    assert answer is not None
    assert answer.endswith(f"{wording.MEDIA_WITH_TEXT}\nYou said my dog.")
    kinds = [row.kind async for row in InboundMessage.objects.order_by("id")]
    assert kinds == [Kind.MEDIA, Kind.CHAT]
    assert {row.media_count async for row in InboundMessage.objects.all()} == {1}


async def test_whatsapp_is_a_line_of_its_own(phone: Phone, engine: SlowEngine) -> None:
    await phone.says(sms("by sms"))
    assert await phone.says(whatsapp("by app")) == f"{wording.GREETING}\nYou said by app."
    assert await Contact.objects.acount() == 1
    threads = [thread async for thread in Thread.objects.order_by("id")]
    assert [thread.is_whatsapp for thread in threads] == [False, True]
    assert threads[1].our_number == OURS
    assert await Conversation.objects.acount() == 2


@pytest.mark.parametrize("body", ["", "   ", "\n", "\u200b\u2003"])
async def test_an_empty_text_is_204(phone: Phone, engine: SlowEngine, body: str) -> None:
    response = await phone.text(sms(body))
    assert response.status_code == 204
    assert response.content == b""
    assert engine.asked == []
    assert not await Message.objects.aexists()


async def test_a_long_silence_begins_another_chat(
    phone: Phone, engine: SlowEngine, env: Any
) -> None:
    env(sms_idle_minutes=15)
    await phone.says(sms("hello"))
    first = await Conversation.objects.aget()
    await _age(first, minutes=14)
    assert await phone.says(sms("still there?")) == "You said still there?."
    await _age(first, minutes=16)
    assert await phone.says(sms("long ago")) == f"{wording.GREETING}\nYou said long ago."
    thread = await Thread.objects.select_related("conversation").aget()
    assert thread.conversation_id != first.pk


@pytest.mark.parametrize("text", ["/who", "/help", "STOP"])
async def test_what_is_not_for_the_character_brings_no_ended_chat_back(
    phone: Phone, engine: SlowEngine, text: str
) -> None:
    await phone.says(sms("hello"))
    first = await Conversation.objects.select_related("persona").aget()
    name = first.persona.name
    await _age(first, minutes=60)
    answer = await phone.says(sms(text))
    if text == "STOP":
        await phone.says(sms("START"))
    if text == "/who":  # who it was, and nobody new
        assert answer is not None
        assert name in answer
    assert await Conversation.objects.acount() == 1
    assert await phone.says(sms("and now?")) == f"{wording.GREETING}\nYou said and now?."


async def test_whoever_asks_first_who_is_there_is_told_that_somebody_is(
    phone: Phone, engine: SlowEngine
) -> None:
    answer = await phone.says(sms("/who"))
    assert answer is not None
    assert answer.startswith(f"{wording.GREETING}\nYou are talking to ")
    assert await phone.says(sms("hello")) == "You said hello."


async def test_a_text_longer_than_a_message_may_be(
    phone: Phone, engine: SlowEngine, env: Any
) -> None:
    env(message_max_length=100)
    assert await phone.says(sms("x" * 101)) == wording.TOO_LONG
    assert engine.asked == []
    assert not await Conversation.objects.aexists()


async def test_replies_are_shaped(phone: Phone, engine: SlowEngine, env: Any) -> None:
    env(sms_max_segments=1)
    engine.says = "“It’s me” — {} " + "I like buses. " * 30
    await phone.says(sms("/help"))
    await phone.says(sms("one"))
    answer = await phone.says(sms("two"))
    assert answer is not None
    assert answer.startswith('"It\'s me" - two I like buses.')
    assert answer.endswith("buses.")
    assert len(answer) <= 160
    whole = await Message.objects.filter(role="bot").alatest("id")
    assert whole.text.startswith("“It’s me”")  # the chat keeps what the character said


async def test_a_failing_engine_is_apologised_for(phone: Phone, engine: SlowEngine) -> None:
    await phone.says(sms("hello"))
    engine.error = EngineStopped("gone")
    assert await phone.says(sms("and?")) == wording.NO_WORDS
    assert await Message.objects.filter(status=Status.FAILED).acount() == 1


async def test_nobody_to_talk_to(phone: Phone, engine: SlowEngine) -> None:
    await Persona.objects.aupdate(is_active=False)
    assert await phone.says(sms("hello")) == wording.NOBODY


async def _age(conversation: Conversation, *, minutes: int) -> None:
    thread = await Thread.objects.aget()
    thread.last_text_at -= timedelta(minutes=minutes)
    await thread.asave()
    await conversation.arefresh_from_db()
    conversation.last_activity_at = thread.last_text_at
    await conversation.asave()
