"""What is to be played, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

FIRST_TOKEN_LIMIT_MS = 300
REPLY_LIMIT_MS = 1500


@dataclass(frozen=True, slots=True)
class Text:
    """A text message as the request that brings it to the server. `is_answered` tells from the
    body that comes back whether somebody has answered."""

    path: str
    headers: dict[str, str]
    form: dict[str, str]
    is_answered: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """`people` come evenly over `ramp` seconds and then write every `every` seconds on average.

    When all are there and `settle` seconds have passed, `seconds` are measured. `sms_share` of them
    (0 to 1) text instead of using the page: `text` makes a text of who sends it and what it says.
    ValueError says what is wrong.
    """

    url: str
    people: int
    every: float = 20.0
    seconds: float = 60.0
    ramp: float = 10.0
    settle: float = 5.0
    patience: float = 15.0
    sms_share: float = 0.0
    text: Callable[[str, str], Text] | None = None

    def __post_init__(self) -> None:
        for name in ("people", "every", "seconds", "patience"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name)} given, more than 0 is needed")
        for name in ("ramp", "settle"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} given, 0 or more is needed")
        if not 0 <= self.sms_share <= 1:
            raise ValueError(f"sms_share: {self.sms_share} given, 0 to 1 is allowed")
        if self.sms_share and self.text is None:
            raise ValueError("sms_share: the plan does not say how to text")


@dataclass(slots=True)
class Tally:
    """What people saw. Messages are counted only in the measured window (`counting`), each to its
    end; pages and sockets are opened before it."""

    counting: bool = False
    sent: int = 0
    complete: int = 0
    failed: int = 0
    lost: int = 0
    characters: int = 0
    frames: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    opening: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    reply: list[float] = field(default_factory=list)

    def problem(self, what: str) -> None:
        """Something that went wrong, whenever it did."""
        self.problems[what] += 1

    def holds(self) -> bool:
        """Whether the server kept up: in time, nothing lost, nothing failed."""
        return (
            self.complete > 0
            and not (self.failed or self.lost or self.problems)
            and quantile(self.first_token, 0.95) * 1000 < FIRST_TOKEN_LIMIT_MS
            and quantile(self.reply, 0.95) * 1000 < REPLY_LIMIT_MS
        )

    def report(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "complete": self.complete,
            "failed": self.failed,
            "lost": self.lost,
            "problems": dict(self.problems),
            "opening_ms": _quantiles_ms(self.opening),
            "first_token_ms": _quantiles_ms(self.first_token),
            "reply_ms": _quantiles_ms(self.reply),
            "reply_characters": round(self.characters / self.complete, 1) if self.complete else 0.0,
            "reply_frames": round(self.frames / self.complete, 1) if self.complete else 0.0,
            "holds": self.holds(),
        }


def quantile(values: Sequence[float], share: float) -> float:
    """The value below or at which this share of them lies; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _quantiles_ms(values: Sequence[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: round(quantile(values, share) * 1000, 1) for name, share in shares.items()}
