"""Programs with the same shape of model, measured in turns, so that all see the same machine.

The same lengths of prompt and reply, top-k sampling, threads, 8 bits where a program has them. At
its turn a program answers the same request again and again; the first time warms up, for the caches
hold what the program before it read. Every time is that of the whole call, as its caller sees it.
Decoding is what is compared: the time of replies of one token, which is that of the prompts, is
taken off. The best of all counts, because other work on a machine only ever adds time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

from inference.benchmark import BenchmarkOptions
from inference.cores import usable_cores
from training.bench.peers import KINDS
from training.bench.program import Program

PROMPT_TOKENS = 64
ROUNDS = 3
# Of a program's turn for one kind of request, at least.
TURN_SECONDS = 0.3


@dataclass(slots=True)
class Times:
    """Seconds that the same request took in each round at best, with replies whole and of one
    token."""

    whole: list[float] = field(default_factory=list)
    prompts: list[float] = field(default_factory=list)

    @property
    def decoding(self) -> float | None:
        """Seconds of decoding; None when rounds differ by more than half of that."""
        seconds = min(self.whole) - min(self.prompts)
        return seconds if seconds > 2 * max(_noise(self.whole), _noise(self.prompts)) else None


@dataclass(slots=True)
class Rates:
    """Tokens per second by number of chats, decoding alone and with the prompts' time, and the
    memory that its process had after that. What noise hides has no entry."""

    decode: dict[str, float] = field(default_factory=dict)
    with_prompts: dict[str, float] = field(default_factory=dict)
    rss_mb: float | None = None

    def enter(self, chats: int, tokens: int, times: Times) -> None:
        """Count these rounds, unless noise hides them or better ones were entered."""
        if times.decoding is None:
            return
        rate = round(chats * (tokens - 1) / times.decoding, 1)
        if rate > self.decode.get(str(chats), 0):
            self.decode[str(chats)] = rate
            self.with_prompts[str(chats)] = round(chats * tokens / min(times.whole), 1)


def measure(
    programs: Mapping[str, tuple[str, Path]],
    options: BenchmarkOptions,
    say: Callable[[str], None],
) -> dict[str, Rates]:
    """Rates of every program that runs here, by its name; says why others do not.

    `programs` has a kind (a key of `peers.KINDS`) and a path for each name.
    """
    with ExitStack() as stack:
        say(f"loading {', '.join(programs)}")
        started = [stack.enter_context(program) for program in _start(programs, options)]
        for program in started:
            program.wait()
        running = [program for program in started if not program.problem]
        for name, problem in {p.name: p.problem for p in started if p.problem}.items():
            say(f"{name}: left out, {problem}")
        rates = {program.name: Rates() for program in running}
        for chats in options.batches:
            say(f"side by side, chats: {chats}")
            for program, times in _rounds(running, chats, options.tokens):
                rates[program.name].enter(chats, options.tokens, times)
        for program in running:
            rates[program.name].rss_mb = program.rss_mb
            if program.problem:
                say(f"{program.name}: stopped early, {program.problem}")
    return rates


def _start(
    programs: Mapping[str, tuple[str, Path]], options: BenchmarkOptions
) -> Iterator[Program]:
    threads, most = options.threads or usable_cores(), max(options.batches)
    for name, (kind, path) in programs.items():
        for environment in KINDS[kind].environments:
            yield Program(name, (kind, path, threads, most), environment)


def _rounds(running: Sequence[Program], chats: int, tokens: int) -> Iterator[tuple[Program, Times]]:
    """Times of all programs that answered each time."""
    times = [Times() for _ in running]
    for _ in range(ROUNDS):
        for program, found in zip(running, times, strict=True):
            found.whole.append(_turn(program, chats, tokens))
            found.prompts.append(_turn(program, chats, 1))
    return (pair for pair in zip(running, times, strict=True) if not pair[0].problem)


def _turn(program: Program, chats: int, tokens: int) -> float:
    """The least of the seconds that one request took, asked again and again."""
    began = perf_counter()
    program.seconds(chats, PROMPT_TOKENS, tokens)
    times = [program.seconds(chats, PROMPT_TOKENS, tokens)]
    while perf_counter() - began < TURN_SECONDS and not program.problem:
        times.append(program.seconds(chats, PROMPT_TOKENS, tokens))
    return min(times)


def _noise(times: Sequence[float]) -> float:
    return median(times) - min(times)
