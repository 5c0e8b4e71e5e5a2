"""What a caller of the engine receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inference.params import SamplingParams


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits. `position` 1 is next; `wait_seconds` an estimate, None if unknown."""

    position: int
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of text, never empty, and how many tokens it took."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is whole: the model ended its turn, or a limit on its length did.

    `sampling` holds the seed that was used. Times in seconds since the request came in, but for
    `duration_s`, which is from its admission to its last token.
    """

    reason: Literal["end", "length"]
    prompt_tokens: int
    completion_tokens: int
    sampling: SamplingParams
    queued_s: float
    first_token_s: float
    duration_s: float


Event = Queued | Delta | Finished


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Figures for operators. Counters since the process began."""

    loaded: bool = False
    running: int = 0
    waiting: int = 0
    slots: int = 0
    tokens_total: int = 0
    prompt_tokens_total: int = 0
    reused_tokens_total: int = 0
    kv_cache_conversations: int = 0
    kv_cache_bytes: int = 0
    load_seconds: float = 0.0
