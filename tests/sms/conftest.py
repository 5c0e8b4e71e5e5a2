from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import AsyncClient
from pytest_django import Settings

from conversations.models import Persona
from inference.engine import Delta, Finished
from inference.params import SamplingParams
from tests.sms.payloads import ACCOUNT, INCOMING, PUBLIC, STATUS, TOKEN, encode, sign
from tests.sms.twilio_api import TwilioApi, twilio_api_serving


@pytest.fixture
def env(settings: Settings) -> Any:
    """Changes settings that come from the environment."""

    def change(**values: Any) -> None:
        settings.ENV = settings.ENV.model_copy(update=values)

    return change


@pytest.fixture(autouse=True)
def line(settings: Settings, env: Any) -> None:
    """A configured line."""
    settings.PUBLIC_URL = PUBLIC
    settings.ALLOWED_HOSTS = ["testserver", "chat.example.org"]
    env(
        public_url=PUBLIC,
        twilio_auth_token=TOKEN,
        twilio_account_sid="",
        twilio_api_base="",
        sms_number="",
        sms_rate="1000/minute",
        sms_global_rate="1000/minute",
        sms_daily_cap=1000,
        sms_deadline=60,  # what is to be answered in time is, however busy the machine
    )


@dataclass
class SlowEngine:
    """Says `You said …`, once it may; then nothing holds it any more."""

    asked: list[str] = field(default_factory=list)
    held: bool = False
    error: Exception | None = None
    says: str = "You said {}."
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    _may: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self) -> None:
        self.held = True
        self._may = asyncio.Event()

    def release(self) -> None:
        self.held = False
        self._may.set()

    async def generate(
        self,
        persona: Sequence[str],
        turns: Sequence[Any],
        params: SamplingParams | None = None,
        *,
        cache_key: str | None = None,
    ) -> AsyncIterator[Any]:
        self.asked.append(turns[-1].text)
        self.begun.set()
        if self.error:
            raise self.error
        if self.held:
            await self._may.wait()
        yield Delta(self.says.format(turns[-1].text), 3)
        yield Finished("end", 10, 3, params or SamplingParams(), 0.0, 0.01, 0.02)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SlowEngine:
    slow = SlowEngine()
    monkeypatch.setattr("conversations.services.generation.engine", lambda: slow)
    return slow


@pytest.fixture
def characters(transactional_db: None) -> list[Persona]:
    return [
        Persona.objects.create(
            name=name,
            lines=[f"My name is {name}.", "I drive a night bus."],
            color="#aabbcc",
            emblem="🚌",
            source="test",
            digest=name,
        )
        for name in ("Ada", "Bob", "Cleo")
    ]


@dataclass
class Phone:
    """Sends signed requests to the site, as Twilio does for somebody's phone."""

    client: AsyncClient

    async def text(self, form: dict[str, str]) -> HttpResponse:
        return await self.post(INCOMING, form)

    async def says(self, form: dict[str, str]) -> str | None:
        """The text that comes back in the TwiML; None when it is empty."""
        return said(await self.text(form))

    async def report(self, form: dict[str, str], answer: Any = None) -> HttpResponse:
        return await self.post(STATUS + (f"?answer={answer}" if answer else ""), form)

    async def post(self, path: str, form: dict[str, str], **headers: str) -> HttpResponse:
        headers = {"X-Twilio-Signature": sign(PUBLIC + path, form)} | headers
        response = await self.client.post(
            path,
            encode(form),
            content_type="application/x-www-form-urlencoded",
            headers=headers,
        )
        assert isinstance(response, HttpResponse)
        return response


def said(response: HttpResponse) -> str | None:
    assert response.status_code == 200, response.content
    assert response["Content-Type"].startswith("text/xml")
    root = ET.fromstring(response.content)
    assert root.tag == "Response"
    messages = root.findall("Message")
    assert len(messages) <= 1
    return messages[0].text if messages else None


@pytest.fixture
def phone() -> Phone:
    return Phone(AsyncClient())


@pytest.fixture
def twilio_api(env: Any) -> Iterator[TwilioApi]:
    with twilio_api_serving() as api:
        env(twilio_account_sid=ACCOUNT, twilio_api_base=api.base)
        yield api
