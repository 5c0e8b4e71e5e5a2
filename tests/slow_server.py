"""The site with an engine that talks slowly and for ever: there is time to interrupt it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_site.settings")
from conversations.services import engine as engine_module
from inference.events import Delta, EngineStats
from inference.params import SamplingParams
from inference.prompt import Turn


class SlowEngine:
    """Says a word every few hundredths of a second."""

    async def generate(
        self,
        persona: Sequence[str],
        turns: Sequence[Turn],
        params: SamplingParams,
        *,
        cache_key: str | None = None,
    ) -> AsyncGenerator[Delta, None]:
        yield Delta("Well", 1)
        while True:
            await asyncio.sleep(0.02)
            yield Delta(" well", 1)

    def stats(self) -> EngineStats:
        return EngineStats(loaded=True)

    def load(self) -> None: ...

    def close(self) -> None: ...


engine_module.engine = SlowEngine  # type: ignore[assignment]

# Only now: what is imported with the applications takes the engine as it is then.
django.setup()

from chatbot_site.asgi import application  # noqa: E402

__all__ = ["application"]
