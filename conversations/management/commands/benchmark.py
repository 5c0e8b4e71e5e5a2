"""`manage.py benchmark`: how fast a bundle answers, beside other programs with the same weights."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from conversations.management.base import ManualCommand
from inference.benchmark import Benchmark, BenchmarkOptions, machine, run_benchmark
from inference.errors import EngineError

Peers = Mapping[str, Mapping[str, float]]


class Command(ManualCommand):
    help = """Measures the engine that answers people: tokens per second of 1, 8, 16 and 32 chats,
prompts, the first token of a new turn, memory, and how near that is to what the memory bus allows.

Without --bundle the live one (CHATBOT_BUNDLE) is measured, with what a server has installed.
--distilgpt2 measures a model of DistilGPT2's size with random weights in 8 and 4 bits; --peers runs
the same weights in other programs, each by its own fastest way, and needs requirements.txt and
requirements-bench.txt. Let the machine be idle: every figure is of this moment.

examples:
  manage.py benchmark
  manage.py benchmark --bundle var/bundles/best --json
  manage.py benchmark --distilgpt2 --peers"""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--bundle", type=Path, metavar="DIR")
        what.add_argument("--distilgpt2", action="store_true", help="82 million random weights")
        parser.add_argument(
            "--peers", action="store_true", help="with --distilgpt2: other programs, side by side"
        )
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
        parser.add_argument("--json", action="store_true", help="report as one JSON line")

    def run(self, **options: Any) -> None:
        if options["peers"] and not options["distilgpt2"]:
            raise CommandError("--peers needs --distilgpt2: peers cannot read a bundle.")
        if options["tokens"] < 8:
            raise CommandError("--tokens must be 8 or more, for steps enough to measure.")
        chosen = BenchmarkOptions(
            batches=options["chats"], tokens=options["tokens"], threads=options["threads"]
        )
        try:
            ours, peers = self._measure(options, chosen)
        except (EngineError, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(_line(ours, peers)))
        else:
            self.stdout.write(_table(ours, peers))

    def _measure(
        self, options: Mapping[str, Any], chosen: BenchmarkOptions
    ) -> tuple[list[Benchmark], Peers]:
        if not options["distilgpt2"]:
            path = options["bundle"] or settings.ENV.bundle
            return [run_benchmark(path, chosen, self._progress)], {}
        try:
            from training.bench.checkpoint import write_distilgpt2
            from training.bench.peers import measure_peers
            from training.export import ExportOptions, export_bundle
        except ModuleNotFoundError as error:
            raise CommandError(
                f"The package {error.name} is missing; requirements.txt has what this takes."
            ) from error
        with tempfile.TemporaryDirectory() as directory:
            checkpoint = write_distilgpt2(Path(directory) / "distilgpt2")
            ours = []
            for kind in ("int8", "int4"):
                self._progress(f"exporting {kind}")
                bundle = Path(directory) / kind
                export_bundle(checkpoint, bundle, ExportOptions(quantization=kind))
                ours.append(run_benchmark(bundle, chosen, self._progress))
            peers = measure_peers(checkpoint, chosen, self._progress) if options["peers"] else {}
        return ours, peers

    def _progress(self, line: str) -> None:
        self.stderr.write(line)


def _line(ours: Sequence[Benchmark], peers: Peers) -> dict[str, Any]:
    best = ours[0]
    others = {item.quantization: item.as_json()["decode_tok_s"] for item in ours[1:]}
    return {
        **best.as_json(),
        "machine": machine(),
        **({"other_quantizations": others} if others else {}),
        "peers": peers,
        "ratios": {
            name: {
                str(item.batch): round(item.decode / figures[str(item.batch)], 2)
                for item in best.decode
                if figures.get(str(item.batch))
            }
            for name, figures in peers.items()
        },
    }


def _table(ours: Sequence[Benchmark], peers: Peers) -> str:
    batches = [str(item.batch) for item in ours[0].decode]
    rows = {f"{b.name} {b.quantization}": b.as_json()["decode_tok_s"] for b in ours}
    rows |= {name: dict(figures) for name, figures in peers.items()}
    lines = [machine(), "", f"{'tokens/s, chats:':<34}" + "".join(f"{b:>9}" for b in batches)]
    for name, figures in rows.items():
        cells = (f"{figures[b]:>9.0f}" if b in figures else f"{'-':>9}" for b in batches)
        lines.append(f"{name:<34}" + "".join(cells))
    for item in ours:
        facts = item.as_json()
        first = facts["first_token_ms"]
        lines += [
            "",
            f"{item.name} {item.quantization}: loaded in {item.load_s:.2f} s; "
            f"{item.rss_mb:.0f} MB resident; prompts {item.prefill_tok_s:.0f} tokens/s",
            f"first token of a new turn: {first['p50']:.1f} ms median, {first['p95']:.1f} ms p95",
            f"memory gives {facts['memory_gb_s']} GB/s; one chat uses {item.bus_share:.0%} of it",
            "engine's own part of a step: "
            + ", ".join(f"{share:.1%} at {n}" for n, share in facts["engine_share"].items()),
        ]
    return "\n".join(lines)


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1 or max(counts) > 256:
        raise ArgumentTypeError(f"{text}: must be numbers of chats from 1 to 256, as in 1,8,32")
    return counts
