"""What a caller of the engine receives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from inference.params import SamplingParams


@dataclass(frozen=True, slots=True)
class Queued:
    """Too few slots are free. `position` 1 is next; `wait_seconds` an estimate, None if unknown."""

    position: int
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of text, never empty, and how many tokens came with it."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is whole: the model ended its turn, or a limit on its length did.

    `sampling` holds the seed that was used. `queued_s` is the time until the request had a slot,
    `first_token_s` until its first token, both from when it came in; `duration_s` is from the slot
    to the end. `reused_tokens` of the prompt were in the cache and cost nothing; `dropped_turns`
    are the oldest ones, which did not fit.
    """

    reason: Literal["end", "length"]
    prompt_tokens: int
    completion_tokens: int
    sampling: SamplingParams
    queued_s: float
    first_token_s: float
    duration_s: float
    reused_tokens: int = 0
    dropped_turns: int = 0


Event = Queued | Delta | Finished


@dataclass(slots=True)
class Totals:
    """Counters since the engine was made; they outlive a crash of its thread."""

    tokens: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    finished: int = 0
    abandoned: int = 0
    refused: int = 0
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Figures for operators."""

    loaded: bool = False
    running: int = 0
    waiting: int = 0
    slots: int = 0
    totals: Totals = field(default_factory=Totals)
    kv_cache_conversations: int = 0
    kv_cache_bytes: int = 0
    load_seconds: float = 0.0
