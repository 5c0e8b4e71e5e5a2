"""The site with the real model, made slow and unable to end a reply: there is time to watch."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import django
import numpy as np

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_site.settings")
from conversations.services import engine as engine_module
from inference.bundle import Bundle
from inference.engine import Engine
from inference.runner import Runner, TopK

SECONDS_PER_TOKEN = 0.1


class LongWindedRunner(Runner):
    """Puts special tokens, which end a reply, last among the candidates."""

    def __init__(self, bundle: Bundle, *, slots: int, threads: int) -> None:
        super().__init__(bundle, slots=slots, threads=threads)
        self._special = list(astuple(bundle.special_tokens))

    def prefill(self, slot: int, token_ids: Sequence[int] | Any, past: int) -> TopK:
        return self._without_end(super().prefill(slot, token_ids, past))

    def decode(self, token_ids: Any, lengths: Any) -> TopK:
        time.sleep(SECONDS_PER_TOKEN)
        return self._without_end(super().decode(token_ids, lengths))

    def _without_end(self, top: TopK) -> TopK:
        values = np.where(np.isin(top.ids, self._special), np.float32(-1e4), top.values)
        order = np.argsort(-values, axis=1, kind="stable")
        return TopK(np.take_along_axis(values, order, 1), np.take_along_axis(top.ids, order, 1))


_engine = Engine(engine_module.engine_config(), runner_factory=LongWindedRunner)
engine_module.engine = lambda: _engine  # type: ignore[assignment]

# Only now: what is imported with the applications takes the engine as it is then.
django.setup()

from chatbot_site.asgi import application  # noqa: E402

__all__ = ["application"]
