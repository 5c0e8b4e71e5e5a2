"""What a request and an engine can be asked for. Wrong values are refused when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from inference.cores import usable_memory_mb

TOP_K_LIMIT = 64
"""The graph of a bundle returns the logits of so many candidates; no sampling looks further."""

Device = Literal["auto", "cpu", "cuda"]
DEVICES = get_args(Device)

MAX_CANDIDATES = 8
"""More replies to choose from gain little and cost as much as other people's chats."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How a reply is drawn from the model's distribution.

    max_tokens: longest reply, in tokens.
    temperature: divides the logits; 0 always takes the most probable token.
    top_k: candidates kept (Fan et al. 2018).
    top_p: the smallest set of candidates with this probability is kept (Holtzman et al. 2020).
    repetition_penalty: divides the logits of content the character has just used, measured as
        `sampling.py` says; above 1 it also makes no statement twice. 1 is off.
    copying: how often a reply that has begun to say what its prompt says goes on as the prompt does
        (`copying.py`), from 0, never, to 1, always; what the persona answers is begun a little more
        often with its answer (`persona/answering.py`). At a temperature of 0 there are no odds:
        above 0 it always does.
    seed: the same seed, prompt and bundle draw the same reply; None draws a new one each time.
    candidates: replies that are written at once, of which the best is given (`rerank.py`). Above 1
        nothing is heard of a reply before it is whole, and it takes as many of the engine's places.

    Raises ValueError with the field, the value and what is allowed.
    """

    max_tokens: int = 40
    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.9
    repetition_penalty: float = 1.3
    copying: float = 0.0
    seed: int | None = None
    candidates: int = 1

    @classmethod
    def recommended(cls, sampling: Mapping[str, Any], **chosen: Any) -> SamplingParams:
        """What a bundle recommends (its manifest's `sampling`), with other values where `chosen`
        has one that is not None. Names that are not parameters are left aside."""
        names = {field.name for field in fields(cls)}
        wanted = {
            **sampling,
            **{name: value for name, value in chosen.items() if value is not None},
        }
        return cls(**{name: value for name, value in wanted.items() if name in names})

    def __post_init__(self) -> None:
        _whole("max_tokens", self.max_tokens, 1, 4096)
        _number("temperature", self.temperature, 0, 5)
        _whole("top_k", self.top_k, 1, TOP_K_LIMIT)
        _number("top_p", self.top_p, 0, 1, above=True)
        _number("repetition_penalty", self.repetition_penalty, 1, 5)
        _number("copying", self.copying, 0, 1)
        _whole("candidates", self.candidates, 1, MAX_CANDIDATES)
        if self.seed is not None:
            _whole("seed", self.seed, 0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What one engine may use.

    max_batch: chats decoded together; max_queue: requests that may wait beside them.
    threads: of the numeric library; 0 takes the cores this process may use.
    kv_cache_mb: memory for the key-value caches of recent conversations, in MiB; 0 keeps none, None
        takes a sixteenth of what this process may use, at most 2048.
    tokens_per_second: what is enough for one chat while others are answered and more people keep
        coming (`pace.py`); 0 gives each as many as it can, unless prompts are being run.
    device: what runs the model; "auto" is a GPU where one works and else the processor.

    Raises ValueError with the field, the value and what is allowed.
    """

    bundle_dir: Path
    max_batch: int = 32
    max_queue: int = 256
    threads: int = 0
    kv_cache_mb: int | None = None
    tokens_per_second: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        _whole("max_batch", self.max_batch, 1, 1024)
        _whole("max_queue", self.max_queue, 0, 1_000_000)
        _whole("threads", self.threads, 0, 1024)
        if self.kv_cache_mb is not None:
            _whole("kv_cache_mb", self.kv_cache_mb, 0, 1_048_576)
        _number("tokens_per_second", self.tokens_per_second, 0, 10_000)
        if self.device not in DEVICES:
            raise ValueError(f"device must be one of {', '.join(DEVICES)}, not {self.device!r}")

    @property
    def kv_cache_bytes(self) -> int:
        """`kv_cache_mb` with the default filled in. A thousand conversations take about 1 GiB."""
        megabytes = self.kv_cache_mb
        if megabytes is None:
            memory = usable_memory_mb()
            megabytes = 64 if memory is None else min(memory // 16, 2048)
        return megabytes * 2**20


def _whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def _number(name: str, value: object, low: float, high: float, *, above: bool = False) -> None:
    fits = (
        not isinstance(value, bool)
        and isinstance(value, int | float)
        and low <= value <= high  # false for NaN
        and not (above and value == low)
    )
    if not fits:
        span = f"above {low:g} and at most {high:g}" if above else f"from {low:g} to {high:g}"
        raise ValueError(f"{name} must be a number {span}, not {value!r}")
