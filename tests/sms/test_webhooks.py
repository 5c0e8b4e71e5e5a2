"""Which requests are taken in at all."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import AsyncClient
from pytest_django import Settings

from conversations.models import Message
from sms.models import Contact, DeliveryEvent, InboundMessage
from tests.sms.conftest import Phone, SlowEngine, said
from tests.sms.payloads import INCOMING, PUBLIC, STATUS, encode, sign, sms, status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("characters")]
FORM = "application/x-www-form-urlencoded"


async def post(
    body: bytes, signature: str | None, *, path: str = INCOMING, kind: str = FORM, **extra: Any
) -> Any:
    headers = {"X-Twilio-Signature": signature} if signature is not None else {}
    return await AsyncClient(**extra).post(path, body, content_type=kind, headers=headers)


async def nothing_stored() -> bool:
    return not any(
        [
            await model.objects.aexists()
            for model in (Contact, InboundMessage, Message, DeliveryEvent)
        ]
    )


@pytest.mark.parametrize("path", [INCOMING, STATUS])
@pytest.mark.parametrize("signature", [None, "", "wrong", "ü€", "x" * 28, "other token", "other"])
async def test_forged_requests_are_403(
    engine: SlowEngine, path: str, signature: str | None
) -> None:
    form = sms() if path == INCOMING else status("SM1", "sent")
    if signature == "other token":
        signature = sign(PUBLIC + path, form, token="another account's")
    elif signature == "other":
        signature = sign(f"https://elsewhere.example.org{path}", form)
    header = signature.encode().decode("latin1") if signature else signature
    response = await post(encode(form), header, path=path)
    assert response.status_code == 403
    assert b"ignature" in response.content
    assert await nothing_stored()
    assert engine.asked == []


async def test_a_replayed_signature_fits_no_other_text(engine: SlowEngine) -> None:
    signature = sign(PUBLIC + INCOMING, sms("hello", MessageSid="SM1"))
    response = await post(encode(sms("changed", MessageSid="SM1")), signature)
    assert response.status_code == 403
    assert await nothing_stored()


async def test_a_truncated_form_is_refused(engine: SlowEngine) -> None:
    form = sms("a text")
    response = await post(encode(form)[:-20], sign(PUBLIC + INCOMING, form))
    assert response.status_code == 403
    response = await post(encode(form)[:-20], "x", CONTENT_LENGTH=str(len(encode(form))))
    assert response.status_code in {400, 403}
    assert await nothing_stored()


@pytest.mark.parametrize(
    ("body", "kind", "status_code", "words"),
    [
        (b"Body=" + b"x" * 70_000, FORM, 413, b"larger"),
        (b"Body=%ff%fe&MessageSid=SM1", FORM, 400, b"UTF-8"),
        (b"Body=\xff\xfe", FORM, 400, b"UTF-8"),
        (b"&".join(b"a=1" for _ in range(300)), FORM, 400, b"fields"),
        (b'{"Body": "hi"}', "application/json", 415, b"urlencoded"),
        (b"hi", "text/plain", 415, b"urlencoded"),
    ],
)
async def test_what_is_no_form_is_refused(
    engine: SlowEngine, body: bytes, kind: str, status_code: int, words: bytes
) -> None:
    response = await post(body, "x" * 28, kind=kind)
    assert response.status_code == status_code
    assert words in response.content
    assert b"Traceback" not in response.content
    assert await nothing_stored()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("MessageSid", ""),
        ("MessageSid", "SM 1; --"),
        ("From", ""),
        ("From", "ACME"),
        ("From", "12345"),
        ("From", "+1"),
        ("To", "nobody"),
        ("NumMedia", "many"),
        ("NumMedia", "-1"),
    ],
)
async def test_a_signed_form_with_a_wrong_field_is_400(
    phone: Phone, engine: SlowEngine, field: str, value: str
) -> None:
    form = sms() | {field: value}
    if field == "MessageSid":
        form |= {"SmsMessageSid": value, "SmsSid": value}
    response = await phone.text(form)
    assert response.status_code == 400
    assert field.encode() in response.content
    assert await nothing_stored()


@pytest.mark.parametrize("path", [INCOMING, STATUS])
async def test_without_a_token_the_webhooks_are_closed(
    phone: Phone, engine: SlowEngine, env: Any, path: str
) -> None:
    env(twilio_auth_token="")
    response = await phone.post(path, sms())
    assert response.status_code == 503
    assert b"TWILIO_AUTH_TOKEN" in response.content
    # Nor does the signature of an empty token open them.
    response = await post(encode(sms()), sign(PUBLIC + path, sms(), token=""), path=path)
    assert response.status_code == 503
    assert await nothing_stored()


@pytest.mark.parametrize("path", [INCOMING, STATUS])
async def test_only_post(path: str) -> None:
    assert (await AsyncClient().get(path)).status_code == 405


@pytest.mark.parametrize("port", ["", ":443"])
async def test_the_signed_url_may_name_the_port(engine: SlowEngine, port: str) -> None:
    form = sms()
    signature = sign(f"{PUBLIC}{port}{INCOMING}", form)
    assert said(await post(encode(form), signature))


async def test_a_public_url_with_a_port(engine: SlowEngine, settings: Settings) -> None:
    settings.PUBLIC_URL = f"{PUBLIC}:8443"
    form = sms()
    assert said(await post(encode(form), sign(f"{PUBLIC}:8443{INCOMING}", form)))


async def test_the_query_is_part_of_what_is_signed(phone: Phone, engine: SlowEngine) -> None:
    form = sms()
    query = "?from=studio%20flow&x=1"
    assert said(await phone.post(INCOMING + query, form))
    response = await post(encode(form), sign(PUBLIC + INCOMING, form), path=INCOMING + query)
    assert response.status_code == 403


async def test_repeated_fields_are_signed_as_twilio_does(engine: SlowEngine) -> None:
    from django.utils.datastructures import MultiValueDict
    from twilio.request_validator import RequestValidator

    from tests.sms.payloads import TOKEN

    once = sms()
    form = MultiValueDict({name: [value] for name, value in once.items()})
    form.setlist("Extra", ["two", "one"])
    signature = RequestValidator(TOKEN).compute_signature(PUBLIC + INCOMING, form)
    body = encode(once)
    response = await post(body + b"&Extra=two", signature)
    assert response.status_code == 403  # one value of the two
    assert said(await post(body + b"&Extra=two&Extra=one", signature))


async def test_logs_name_no_number_and_no_words(
    phone: Phone, engine: SlowEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    engine.error = RuntimeError("broken")
    await phone.says(sms("my secret", From="+14155557654"))
    await post(encode(sms("my secret", From="+14155557654")), "x")
    await phone.text(sms("my secret", From="+14155557654321"))
    messages = [record.getMessage() for record in caplog.records if record.name[:3] == "sms"]
    assert messages
    assert not any("4155557654" in each or "secret" in each for each in messages)
