"""One program in its worker process, seen from the benchmark's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """Starts to load when it is made. `problem` says why it cannot be measured, or is empty.
    Leaving the context ends it."""

    def __init__(
        self,
        name: str,
        command: tuple[str, Path, int, int],
        environment: Mapping[str, str],
    ) -> None:
        """`command` is kind, path, threads and the most chats."""
        self.name = name
        self.problem = ""
        self.rss_mb: float | None = None
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "training.bench.worker", *map(str, command)],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait(self) -> None:
        """Until it has loaded, or cannot."""
        self._answer()

    def seconds(self, chats: int, prompt_tokens: int, tokens: int) -> float:
        """How long so many replies took; 0 once the program has failed."""
        if self.problem or not self._process.stdin:
            return 0.0
        try:
            self._process.stdin.write(f"{chats} {prompt_tokens} {tokens}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer, or that there is none, says it
        answer = self._answer()
        self.rss_mb = answer.get("rss_mb", self.rss_mb)
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
        """The next line of the worker; keeps what went wrong."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self.problem = f"its process ended with status {self._process.wait()}"
            return {}
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            self.problem = (
                f"the package {answer['missing']} is missing; install it with "
                "pip install -r requirements-bench.txt"
            )
        else:
            self.problem = str(answer.get("error", ""))
        return answer
