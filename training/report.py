"""What a run shows and writes down while it goes: progress, TensorBoard, a plot, samples."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from training.state import RunState

LOG_FILE = "log.jsonl"
T = TypeVar("T")


class RunReport:
    """Writes to a run's directory and to the terminal."""

    def __init__(self, out: Path, *, quiet: bool = False, total: float = 1.0) -> None:
        self.out = out
        self.quiet = quiet
        self.bar = tqdm(
            total=1000,
            disable=quiet or not sys.stderr.isatty(),
            bar_format="{l_bar}{bar}|{postfix}",
        )
        self._last: tuple[float, int] | None = None

    def line(self, text: str) -> None:
        """One line for the person at the terminal."""
        if not self.quiet:
            self.bar.write(text)

    def losses(self, state: RunState, losses: Mapping[str, float], progress: float) -> None:
        """Mean losses since the last call, with speed and time left."""
        seconds, tokens = self._last or (0.0, 0)
        speed = (state.tokens - tokens) / max(state.seconds - seconds, 1e-9)
        self._last = (state.seconds, state.tokens)
        left = state.seconds * (1 - progress) / max(progress, 1e-9)
        shown = " ".join(f"{name} {value:.3f}" for name, value in losses.items() if value)
        self.bar.n = int(1000 * progress)
        self.bar.set_postfix_str(f"{shown} {speed:.0f} tok/s, {left / 60:.0f} min left")
        self._write(
            {"step": state.step, "tokens": state.tokens, "seconds": round(state.seconds, 1)}
            | {"tokens_per_second": round(speed, 1), "progress": round(progress, 4)}
            | {name: round(value, 4) for name, value in losses.items()}
        )

    def validation(self, state: RunState, figures: Mapping[str, float]) -> None:
        """Figures on held-out dialogues."""
        shown = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
        self.line(f"step {state.step}: {shown}")
        self._write({"step": state.step} | {f"val_{k}": round(v, 4) for k, v in figures.items()})

    def close(self) -> None:
        """The bar ends where it is."""
        self.bar.close()

    def _write(self, values: Mapping[str, Any]) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(values) + "\n")
