"""What a run shows and writes down while it goes on: progress, TensorBoard, a plot, samples."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.state import RunState
from training.whole import whole_file

LOG_FILE, PLOT_FILE, SAMPLES_FILE, TENSORBOARD = "log.jsonl", "loss.png", "samples.md", "logs"


class RunReport:
    """Writes to a run's directory and to the terminal."""

    def __init__(self, out: Path, *, quiet: bool = False) -> None:
        self.out = out
        self.quiet = quiet
        self.bar = tqdm(
            total=1000,
            disable=quiet or not sys.stderr.isatty(),
            bar_format="{l_bar}{bar}|{postfix}",
        )
        self._last: tuple[float, int] | None = None
        self._board: Any = None

    def begin(self, step: int) -> None:
        """What a run wrote down after this step, before it was killed, happens again. Raises
        OSError."""
        if step == 0:
            shutil.rmtree(self.out / TENSORBOARD, ignore_errors=True)
            for name in (LOG_FILE, PLOT_FILE, SAMPLES_FILE):
                (self.out / name).unlink(missing_ok=True)
        elif (self.out / LOG_FILE).exists():
            rows = [row for row in _logged(self.out) if row["step"] <= step]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            with whole_file(self.out / LOG_FILE) as fresh:
                fresh.write_text(text, encoding="utf-8")

    def line(self, text: str) -> None:
        """One line for the person at the terminal: beside what a quiet run prints at its end."""
        self.bar.write(text, file=sys.stderr if self.quiet else sys.stdout)

    def losses(self, state: RunState, losses: Mapping[str, float], progress: float) -> None:
        """Mean losses since the last call, with speed and time left."""
        seconds, tokens = self._last or (0.0, 0)
        speed = (state.tokens - tokens) / max(state.seconds - seconds, 1e-9)
        self._last = (state.seconds, state.tokens)
        left = state.seconds * (1 - progress) / max(progress, 1e-9)
        shown = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self.bar.n = int(1000 * progress)
        self.bar.set_postfix_str(f"{shown}, {speed:.0f} tokens/s, {left / 60:.0f} min left")
        values = {"tokens": state.tokens, "seconds": state.seconds, "tokens_per_second": speed}
        self._write(state.step, {**values, "progress": progress, **losses})

    def validation(
        self,
        state: RunState,
        figures: Mapping[str, float],
        replies: Sequence[tuple[str, str]],
    ) -> None:
        """Figures on held-out dialogues and sample replies; the plot is drawn again."""
        shown = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
        self.line(f"step {state.step}: {shown}")
        self._write(state.step, {f"val_{name}": value for name, value in figures.items()})
        with (self.out / SAMPLES_FILE).open("a", encoding="utf-8") as file:
            file.write(f"\n## Step {state.step}\n\n")
            file.writelines(f"- **{question}** {reply}\n" for question, reply in replies)
        draw_losses(self.out)

    def close(self) -> None:
        """The bar ends where it is."""
        self.bar.close()
        if self._board is not None:
            self._board.close()

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        rounded = {name: round(value, 4) for name, value in values.items()}
        with (self.out / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, **rounded}) + "\n")
        self._to_tensorboard(step, values)

    def _to_tensorboard(self, step: int, values: Mapping[str, float]) -> None:
        try:
            import tensorflow as tf
        except ModuleNotFoundError:  # the JAX backend alone does not bring it
            return
        folder = str(self.out / TENSORBOARD)
        try:
            if self._board is None:
                self._board = tf.summary.create_file_writer(folder)
            with self._board.as_default(step=step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._board.flush()
        except tf.errors.OpError as error:  # a full disk has the name of full memory there
            reason = error.message.partition("\n")[0].rpartition("; ")[2]
            raise OSError(None, reason, folder) from error


def draw_losses(out: Path) -> None:
    """`loss.png` from the log: training loss and validation perplexity over the steps."""
    from matplotlib.figure import Figure

    rows = list(_logged(out))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="step", ylabel="training loss (nats per token)")
    for name in ("lm", "choice"):
        points = [(row["step"], row[name]) for row in rows if name in row]
        if any(value for _, value in points):
            axes.plot(*zip(*points, strict=True), label=name)
    checks = [(row["step"], row["val_ppl_word"]) for row in rows if "val_ppl_word" in row]
    if checks:
        right = axes.twinx()
        right.plot(*zip(*checks, strict=True), "o-", color="black", label="validation")
        right.set_ylabel("validation perplexity per word")
    if axes.lines:  # not before the first loss is logged
        axes.legend()
    figure.savefig(out / PLOT_FILE, dpi=100)


def _logged(out: Path) -> Iterator[dict[str, float]]:
    """The lines of the log, but for one that a kill or a full disk has cut."""
    for line in (out / LOG_FILE).read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        yield row
