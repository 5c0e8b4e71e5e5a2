"""Programs with the same shape of model, measured in turns, so that all see the same machine.

The same lengths of prompt and reply, top-k sampling, threads, 8 bits where a program has them; one
round warms up. Every time is that of the whole call, as its caller sees it. Decoding is what is
compared: the time of replies of one token, which is that of the prompts, is taken off. The best of
the rounds counts, because other work on a machine only ever adds time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from inference.benchmark import BenchmarkOptions
from inference.cores import usable_cores
from training.bench.program import Program

PROMPT_TOKENS = 64
ROUNDS = 3


@dataclass(slots=True)
class Rates:
    """Tokens per second by number of chats, decoding alone and with the prompts' time, and the
    memory that its process had after that. What noise hides has no entry."""

    decode: dict[str, float] = field(default_factory=dict)
    with_prompts: dict[str, float] = field(default_factory=dict)
    rss_mb: float | None = None


@dataclass(slots=True)
class Times:
    """Seconds that the same request took in each round, with replies whole and of one token."""

    whole: list[float] = field(default_factory=list)
    prompts: list[float] = field(default_factory=list)

    @property
    def decoding(self) -> float | None:
        """Seconds of decoding; None when rounds differ by more than half of that."""
        seconds = min(self.whole) - min(self.prompts)
        return seconds if seconds > 2 * max(_noise(self.whole), _noise(self.prompts)) else None


def measure(
    programs: Mapping[str, tuple[str, Path]],
    options: BenchmarkOptions,
    say: Callable[[str], None],
) -> dict[str, Rates]:
    """Rates of every program that runs here, by its name; says why others do not.

    `programs` has a kind (a key of `peers.KINDS`) and a path for each name.
    """
    threads = options.threads or usable_cores()
    most = max(options.batches)
    with ExitStack() as stack:
        say(f"loading {', '.join(programs)}")
        started = [
            stack.enter_context(Program(name, kind, path, threads, most))
            for name, (kind, path) in programs.items()
        ]
        for program in started:
            program.wait()
            if program.problem:
                say(f"{program.name}: left out, {program.problem}")
        running = [program for program in started if not program.problem]
        rates = {program.name: Rates() for program in running}
        for chats in options.batches:
            say(f"side by side, {chats} chats: {', '.join(rates)}")
            for name, times in _rounds(running, chats, options.tokens).items():
                _enter(rates[name], chats, options.tokens, times)
        for program in running:
            rates[program.name].rss_mb = program.rss_mb
            if program.problem:
                say(f"{program.name}: stopped early, {program.problem}")
    return rates


def _rounds(running: Sequence[Program], chats: int, tokens: int) -> dict[str, Times]:
    """Times of all programs that answered each time."""
    times = {program.name: Times() for program in running}
    for number in range(ROUNDS + 1):
        for program in running:
            whole = program.seconds(chats, PROMPT_TOKENS, tokens)
            prompts = program.seconds(chats, PROMPT_TOKENS, 1)
            if number:  # the first round warms up
                times[program.name].whole.append(whole)
                times[program.name].prompts.append(prompts)
    return {program.name: times[program.name] for program in running if not program.problem}


def _enter(rates: Rates, chats: int, tokens: int, times: Times) -> None:
    if times.decoding is None:
        return
    rates.decode[str(chats)] = round(chats * (tokens - 1) / times.decoding, 1)
    rates.with_prompts[str(chats)] = round(chats * tokens / min(times.whole), 1)


def _noise(times: Sequence[float]) -> float:
    return median(times) - min(times)
