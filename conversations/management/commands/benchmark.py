"""`manage.py benchmark`: how fast a bundle answers, beside other programs with as large a model."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandError

from conversations.management.base import ManualCommand, all_packages, drawing
from inference.benchmark import BenchmarkOptions, run_benchmark
from inference.bundle import Bundle, load_bundle
from inference.errors import EngineError
from training.bench import OURS
from training.bench.report import Report

if TYPE_CHECKING:
    from training.bench.side_by_side import Rates
    from training.checkpoints.scratch import Size

# Of the bundles that are made for a measurement.
QUANTIZATIONS = ("int8", "int4")


class Command(ManualCommand):
    help = """Measures the engine that answers people: tokens per second of 1, 8, 16 and 32 chats,
prompts, the first token of a new turn, memory, and how near that is to what the memory bus allows.

Without --bundle the live one (CHATBOT_BUNDLE) is measured, with what a server has installed.
--distilgpt2 measures a model of DistilGPT2's size with random weights, in 8 and 4 bits. --peers
adds other programs with a model of the same shape, in turns with ours: CTranslate2 (int8),
llama.cpp (Q8_0) and TensorFlow (KerasHub, float32). These two need requirements.txt, peers also
requirements-bench.txt; one that is not installed is left out, with a line that says so. A "-"
stands for what could not be measured. Let the machine be idle: every figure is of this moment.

examples:
  manage.py benchmark
  manage.py benchmark --bundle var/bundles/best --json
  manage.py benchmark --peers
  manage.py benchmark --distilgpt2 --peers --plot throughput.png"""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--bundle", type=Path, metavar="DIR")
        what.add_argument("--distilgpt2", action="store_true", help="82 million random weights")
        parser.add_argument("--peers", action="store_true", help="other programs beside ours")
        parser.add_argument(
            "--chats",
            type=_counts,
            default=(1, 8, 16, 32),
            metavar="N,N",
            help="simultaneous chats (default: 1,8,16,32)",
        )
        parser.add_argument(
            "--tokens",
            type=int,
            default=100,
            metavar="N",
            help="of a reply, 8 to 150 (default: 100)",
        )
        parser.add_argument(
            "--threads", type=int, default=0, metavar="N", help="default: all usable cores"
        )
        parser.add_argument(
            "--plot", type=Path, metavar="FILE.png", help="draw throughput and time per token"
        )
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        if not 8 <= options["tokens"] <= 150:
            raise CommandError(
                f"--tokens must be from 8 to 150, not {options['tokens']}: enough steps to "
                "measure, in the context that every program is given."
            )
        try:
            with all_packages("this takes"):
                report = self._measure(options)
        except (EngineError, ValueError, BrokenExecutor) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error
        self.report(report.as_json(), report.table(), as_json=options["json"])
        if options["plot"]:
            with drawing(options["plot"]):
                report.plot(options["plot"])

    def _measure(self, options: Mapping[str, Any]) -> Report:
        chosen = BenchmarkOptions(options["chats"], options["tokens"], options["threads"])
        with tempfile.TemporaryDirectory() as directory:
            checkpoint = Path(directory) / "distilgpt2"
            bundles = self._bundles(options, checkpoint)
            found = []
            for bundle in bundles.values():
                self._progress(f"measuring {bundle.name}")
                found.append(run_benchmark(bundle.path, chosen))
            if not options["peers"]:
                return Report(found)
            return Report(found, self._side_by_side(bundles, checkpoint, chosen))

    def _bundles(self, options: Mapping[str, Any], checkpoint: Path) -> dict[str, Bundle]:
        """What is measured, by quantization."""
        if options["distilgpt2"]:
            from training.bench.checkpoint import DISTILGPT2

            return self._random_bundles(checkpoint, DISTILGPT2)
        bundle = load_bundle(options["bundle"] or settings.ENV.bundle)
        return {bundle.quantization: bundle}

    def _side_by_side(
        self, bundles: dict[str, Bundle], checkpoint: Path, chosen: BenchmarkOptions
    ) -> dict[str, Rates]:
        from training.bench.checkpoint import size_of
        from training.bench.peers import PEERS
        from training.bench.side_by_side import measure

        if not checkpoint.exists():
            size = size_of(next(iter(bundles.values())))
            bundles = self._random_bundles(checkpoint, size) | bundles
        ours = {f"{OURS} {name}": (OURS, bundle.path) for name, bundle in bundles.items()}
        return measure(ours | {name: (name, checkpoint) for name in PEERS}, chosen, self._progress)

    def _random_bundles(self, checkpoint: Path, size: Size) -> dict[str, Bundle]:
        """Write a checkpoint, and its bundles beside it."""
        from training.bench.checkpoint import write_random_checkpoint
        from training.export.bundle import ExportOptions, export_bundle

        self._progress(f"exporting {' and '.join(QUANTIZATIONS)}, random weights")
        write_random_checkpoint(checkpoint, size)
        return {
            name: export_bundle(checkpoint, checkpoint.with_name(name), ExportOptions(name))
            for name in QUANTIZATIONS
        }

    def _progress(self, line: str) -> None:
        self.stderr.write(line)


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1 or max(counts) > 256:
        raise ArgumentTypeError(f"{text}: must be numbers of chats from 1 to 256, as in 1,8,32")
    return counts
