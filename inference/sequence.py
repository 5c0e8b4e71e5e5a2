"""One request on its way through the model: what it asks for and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Phase(Enum):
    """WAITING for a slot, PREFILL of its prompt, DECODE of its reply, DONE."""

    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    DONE = "done"


@dataclass(slots=True, eq=False)
class Sequence:
    """State of one request. Only the engine's thread changes it.

    `cached` positions of its slot hold keys and values: first of the prompt, then of the reply but
    for its newest token, which the next step puts in.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    owner: Any = None
    phase: Phase = Phase.WAITING
    slot: int = -1
    cached: int = 0
    reply: list[int] = field(default_factory=list)

    @property
    def prompt_left(self) -> int:
        """Tokens of the prompt that still have to be run."""
        return max(0, len(self.prompt) - self.cached)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """All tokens whose keys and values the slot holds."""
        return (*self.prompt, *self.reply)[: self.cached]
