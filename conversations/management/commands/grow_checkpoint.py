"""`manage.py grow_checkpoint`: a larger model to train, which begins where a smaller one is."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from conversations.management.base import ManualCommand, all_packages, whole_number
from training.checkpoints.grow import grow_checkpoint
from training.checkpoints.hub import checkpoint_directory
from training.errors import TrainingError


class Command(ManualCommand):
    help = """Writes a larger model that says what a smaller one says, to be trained from there.

A model that no longer gets better with more data may be too small. New layers and new units of the
feed-forward layers add nothing until they are trained; tokenizer and facts stay. Each inner unit
costs its weights alone; a layer also keeps keys and values of every conversation.

examples:
  manage.py grow_checkpoint runs/one/best --inner 3072 --out runs/wide
  manage.py grow_checkpoint hf://distilbert/distilgpt2 --layers 12 --out runs/deep"""

    told = (TrainingError,)
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("checkpoint", metavar="DIR", help="or hf://owner/name")
        parser.add_argument("--out", type=Path, required=True, metavar="DIR")
        parser.add_argument("--layers", type=whole_number, metavar="N", help="in all")
        parser.add_argument(
            "--inner", type=whole_number, metavar="N", help="units in each feed-forward layer"
        )
        parser.add_argument("--seed", type=whole_number, default=0, metavar="N")
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        out: Path = options["out"]
        with all_packages("this takes"):
            config = grow_checkpoint(
                checkpoint_directory(options["checkpoint"]),
                out,
                layers=options["layers"],
                inner=options["inner"],
                seed=options["seed"],
            )
        values = {"out": str(out), "layers": config.n_layer, "inner": config.n_inner}
        text = f"{out}: {config.n_layer} layers of {config.n_inner} inner units"
        self.report(values, text, as_json=options["json"])
