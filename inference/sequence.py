"""One reply on its way through the model, as the scheduler sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Phase(Enum):
    """WAITING for a slot, PREFILL of its prompt, DECODE of its reply, DONE."""

    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    DONE = "done"


@dataclass(slots=True, eq=False, kw_only=True)
class TokenSequence:
    """State of one reply. Only the engine's thread changes it.

    `cached` positions of its slot hold keys and values: first of the prompt, then of the reply but
    for its newest token, which the next step puts in. `width` is the number of slots that must be
    free when it is admitted: its own, and one for each that will be forked off it.
    """

    prompt_ids: tuple[int, ...]
    width: int = 1
    phase: Phase = Phase.WAITING
    slot: int = -1
    cached: int = 0
    reply_ids: list[int] = field(default_factory=list)

    @property
    def cached_ids(self) -> tuple[int, ...]:
        """The tokens whose keys and values the slot holds."""
        return (*self.prompt_ids, *self.reply_ids)[: self.cached]
