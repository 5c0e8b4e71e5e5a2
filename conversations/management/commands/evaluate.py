"""`manage.py evaluate`: how good a bundle or a checkpoint is."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from conversations.catalogue.generator import characters
from conversations.management.base import (
    ManualCommand,
    all_packages,
    whole_number,
    writing,
)
from inference.errors import EngineError
from training.checkpoints.hub import checkpoint_directory
from training.errors import TrainingError
from training.measure.evaluation import EvaluateOptions, Evaluation, gate, table

# Seed of the characters who chat with themselves: `train --characters` draws with the default one.
UNSEEN = 1


class Command(ManualCommand):
    help = """Measures the bot as the second speaker of dialogues it has not been trained on.

Without --bundle or --checkpoint the live bundle (CHATBOT_BUNDLE) is measured, with what a server
has installed; a checkpoint needs requirements.txt.

examples:
  manage.py evaluate --data dev.jsonl.gz
  manage.py evaluate --data dev.jsonl.gz --checkpoint runs/mine/best --limit 80 --json
  manage.py evaluate --data dev.jsonl.gz --bundle var/bundles/mine --gate

--gate measures the live bundle as well and fails when a figure is worse than its."""

    told = (TrainingError, EngineError)
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--data", type=Path, required=True, metavar="FILE", help="dialogues, as for train"
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--bundle", type=Path, metavar="DIR", help="default: the live one")
        what.add_argument("--checkpoint", metavar="DIR", help="or hf://owner/name")
        parser.add_argument(
            "--limit", type=whole_number, default=0, metavar="N", help="only the first N dialogues"
        )
        parser.add_argument(
            "--replies",
            type=whole_number,
            default=40,
            metavar="N",
            help="dialogues in which replies are ranked and generated (default: %(default)s)",
        )
        parser.add_argument(
            "--chats",
            type=whole_number,
            default=20,
            metavar="N",
            help="self-chats of so many built-in characters (default: %(default)s)",
        )
        parser.add_argument(
            "--candidates",
            type=int,
            metavar="N",
            help="each reply is the best of N, 1 to 8 (default: as the bundle says, or 1)",
        )
        parser.add_argument(
            "--seed",
            type=int,
            default=0,
            metavar="N",
            help="of replies and wrong candidates (default: %(default)s)",
        )
        parser.add_argument(
            "--samples", type=Path, metavar="FILE", help="write answers and self-chats as Markdown"
        )
        parser.add_argument(
            "--gate", action="store_true", help="fail when worse than the live bundle"
        )
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        live = settings.ENV.bundle
        target = options["bundle"] or live
        chosen = EvaluateOptions(
            limit=options["limit"],
            replies=options["replies"],
            chats=options["chats"],
            seed=options["seed"],
            candidates=options["candidates"],
        )
        unseen = characters(count=chosen.chats, seed=UNSEEN)
        personas = [character.lines for character in unseen]
        with all_packages("a checkpoint needs"):
            if options["checkpoint"]:
                target = checkpoint_directory(options["checkpoint"])
            evaluation = Evaluation.run(
                target, options["data"], chosen, personas, report=self.stderr.write
            )
        failed = gate(evaluation, live, options["data"], chosen) if options["gate"] else []
        self.report(evaluation.figures, table(evaluation.figures), as_json=options["json"])
        if options["samples"]:
            with writing(options["samples"]):
                options["samples"].write_text(evaluation.samples(), encoding="utf-8")
        if failed:
            raise CommandError("Worse than the live bundle: " + "; ".join(failed) + ".")
