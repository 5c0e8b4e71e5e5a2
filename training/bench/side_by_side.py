"""Programs with the same shape of model, measured in turns, so that all see the same machine.

The same lengths of prompt and reply, top-k sampling, 8 bits where a program has them, one warm-up.
Decoding is what is compared: the time of replies of one token, which is that of the prompts, is
taken off. The best of the rounds counts, because other work on a machine only ever adds time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inference.benchmark import BenchmarkOptions, Report
from inference.cores import usable_cores

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3


@dataclass(slots=True)
class Rates:
    """Tokens per second by number of chats: decoding alone, and with the prompts' time."""

    decode: dict[str, float] = field(default_factory=dict)
    with_prompts: dict[str, float] = field(default_factory=dict)


class Program:
    """One worker process. `problem` says why it cannot be measured, or is empty."""

    def __init__(self, name: str, kind: str, path: Path, threads: int, chats: int) -> None:
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "training.bench.worker", kind, path, str(threads), str(chats)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.problem = self._problem(self._answer())

    def seconds(self, chats: int, prompt_tokens: int, tokens: int) -> float:
        """How long so many replies took; 0 once the program has failed."""
        if self.problem or not self._process.stdin:
            return 0.0
        try:
            self._process.stdin.write(f"{chats} {prompt_tokens} {tokens}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.problem = "its process has ended"
            return 0.0
        answer = self._answer()
        self.problem = self._problem(answer)
        return float(answer.get("seconds", 0.0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error:
            self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        return dict(json.loads(line)) if line else {"error": "its process has ended"}

    @staticmethod
    def _problem(answer: Mapping[str, Any]) -> str:
        if "missing" in answer:
            return (
                f"the package {answer['missing']} is missing; install it with "
                "pip install -r requirements-bench.txt"
            )
        return str(answer.get("error", ""))


def measure(
    programs: Mapping[str, tuple[str, Path]], options: BenchmarkOptions, report: Report
) -> dict[str, Rates]:
    """Rates of every program that runs here, by its name; says why of those that do not.

    `programs` has a kind (a key of `peers.LOADERS`) and a path for each name.
    """
    threads = options.threads or usable_cores()
    with ExitStack() as stack:
        running = []
        for name, (kind, path) in programs.items():
            report(f"{name}: loading")
            program = stack.enter_context(Program(name, kind, path, threads, max(options.batches)))
            if program.problem:
                report(f"{name}: left out, {program.problem}")
            else:
                running.append(program)
        rates = {program.name: Rates() for program in running}
        for chats in options.batches:
            report(f"side by side, {chats} chats: {', '.join(rates)}")
            _measure_chats(running, chats, options, rates)
        for program in running:
            if program.problem:
                report(f"{program.name}: stopped early, {program.problem}")
    return {name: rate for name, rate in rates.items() if rate.decode}


def _measure_chats(
    running: list[Program], chats: int, options: BenchmarkOptions, rates: dict[str, Rates]
) -> None:
    prompt, tokens = options.peer_prompt_tokens, options.tokens
    whole: dict[str, list[float]] = {program.name: [] for program in running}
    prompts: dict[str, list[float]] = {program.name: [] for program in running}
    for number in range(ROUNDS + 1):
        for program in running:
            long = program.seconds(chats, prompt, tokens)
            short = program.seconds(chats, prompt, 1)
            if number and not program.problem:  # the first round warms up
                whole[program.name].append(long)
                prompts[program.name].append(short)
    for name, times in whole.items():
        if times and (decoding := min(times) - min(prompts[name])) > 0:
            rates[name].decode[str(chats)] = round(chats * (tokens - 1) / decoding, 1)
            rates[name].with_prompts[str(chats)] = round(chats * tokens / min(times), 1)
