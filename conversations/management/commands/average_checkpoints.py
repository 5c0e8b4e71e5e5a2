"""`manage.py average_checkpoints`: several checkpoints of one model become one."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from conversations.management.base import ManualCommand, all_packages
from training.checkpoints.average import average_checkpoints
from training.checkpoints.hub import checkpoint_directory
from training.errors import TrainingError


class Command(ManualCommand):
    help = """Writes the mean of several checkpoints of one model, which is often better than each.

A temperature makes the mean less sure of itself (above 1) or more (below): choose the one with the
lowest perplexity in `manage.py evaluate`, on dialogues that are not those of your final figures.

examples:
  manage.py average_checkpoints runs/one/steps/800 runs/one/steps/1200 runs/one/last --out runs/mean
  manage.py average_checkpoints runs/one/best --temperature 1.2 --out runs/calibrated"""

    told = (TrainingError,)
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("checkpoints", nargs="+", metavar="DIR", help="or hf://owner/name")
        parser.add_argument("--out", type=Path, required=True, metavar="DIR")
        parser.add_argument(
            "--temperature",
            type=float,
            default=1.0,
            metavar="N",
            help="what logits are divided by (default: %(default)s)",
        )
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        with all_packages("this takes"):
            paths = [checkpoint_directory(name) for name in options["checkpoints"]]
            average_checkpoints(paths, options["out"], temperature=options["temperature"])
        values = {"out": str(options["out"]), "checkpoints": len(paths)}
        text = f"{options['out']}: the mean of {len(paths)} checkpoints"
        self.report(values, text, as_json=options["json"])
