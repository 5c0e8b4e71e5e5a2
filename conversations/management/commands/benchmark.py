"""`manage.py benchmark`: how fast a bundle answers, beside other programs with the same weights."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from conversations.management.base import ManualCommand
from inference.benchmark import BenchmarkOptions, run_benchmark, say
from inference.bundle import load_bundle
from inference.errors import EngineError
from training.bench.report import Report


class Command(ManualCommand):
    help = """Measures the engine that answers people: tokens per second of 1, 8, 16 and 32 chats,
prompts, the first token of a new turn, memory, and how near that is to what the memory bus allows.

Without --bundle the live one (CHATBOT_BUNDLE) is measured, with what a server has installed.
--distilgpt2 measures a model of DistilGPT2's size with random weights in 8 and 4 bits. --peers adds
other programs with a model of the same shape, in turns with ours: CTranslate2 (int8), llama.cpp
(Q8_0) and TensorFlow (KerasHub, float32). These two need requirements.txt, peers also
requirements-bench.txt; one that is not installed is left out, with a line that says so. Let the
machine be idle: every figure is of this moment.

examples:
  manage.py benchmark
  manage.py benchmark --bundle var/bundles/best --json
  manage.py benchmark --peers
  manage.py benchmark --distilgpt2 --peers --plot docs/images/throughput.png"""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--bundle", type=Path, metavar="DIR")
        what.add_argument(
            "--distilgpt2",
            action="store_true",
            help="82 million random weights",
        )
        parser.add_argument("--peers", action="store_true", help="other programs beside ours")
        parser.add_argument(
            "--chats",
            type=_counts,
            default=(1, 8, 16, 32),
            metavar="N,N",
            help="simultaneous chats (default: 1,8,16,32)",
        )
        parser.add_argument(
            "--tokens", type=int, default=100, metavar="N", help="of a reply (default: 100)"
        )
        parser.add_argument(
            "--threads", type=int, default=0, metavar="N", help="default: all usable cores"
        )
        parser.add_argument(
            "--plot", type=Path, metavar="FILE.png", help="tokens/s against chats, as a picture"
        )
        parser.add_argument("--json", action="store_true", help="report as one JSON line")

    def run(self, **options: Any) -> None:
        if not 8 <= options["tokens"] <= 150:
            raise CommandError(
                f"--tokens must be from 8 to 150, not {options['tokens']}: enough steps to measure "
                "in the context that every program is given."
            )
        chosen = BenchmarkOptions(
            batches=options["chats"], tokens=options["tokens"], threads=options["threads"]
        )
        try:
            report = _measure(options, chosen)
            if options["plot"]:
                report.plot(options["plot"])
        except (EngineError, ValueError) as error:
            raise CommandError(str(error)) from error
        except ModuleNotFoundError as error:
            raise CommandError(
                f"The package {error.name} is missing; requirements.txt and requirements-bench.txt "
                "have what this takes."
            ) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error
        self.stdout.write(json.dumps(report.as_json()) if options["json"] else report.table())


def _measure(options: Mapping[str, Any], chosen: BenchmarkOptions) -> Report:
    with tempfile.TemporaryDirectory() as directory:
        bundles, checkpoint = _models(options, Path(directory))
        report = Report([run_benchmark(path, chosen, say) for path in bundles])
        if options["peers"]:
            from training.bench.peers import OURS, PEERS
            from training.bench.side_by_side import measure

            programs = {
                f"{OURS} {item.quantization}": (OURS, path)
                for item, path in zip(report.ours, bundles, strict=True)
            } | {name: (name, checkpoint) for name in PEERS}
            report.rates = measure(programs, chosen, say)
    return report


def _models(options: Mapping[str, Any], directory: Path) -> tuple[list[Path], Path]:
    """Our bundles, and where a checkpoint of the same shape is for the peers, if they want one."""
    from training.bench.checkpoint import KINDS, size_of, write_in_process, write_random_checkpoint

    checkpoint = directory / "distilgpt2"
    if options["distilgpt2"]:
        say(f"exporting {' and '.join(KINDS)}")
        reason = write_in_process(directory)
        if reason:
            raise CommandError(
                f"The model cannot be written ({reason}). This takes requirements.txt."
            )
        return [directory / kind for kind in KINDS], checkpoint
    path = options["bundle"] or settings.ENV.bundle
    if options["peers"]:
        write_random_checkpoint(checkpoint, size_of(load_bundle(path)))
    return [path], checkpoint


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1 or max(counts) > 256:
        raise ArgumentTypeError(f"{text}: must be numbers of chats from 1 to 256, as in 1,8,32")
    return counts
