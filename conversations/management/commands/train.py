"""`manage.py train`: fine-tunes a GPT-2 checkpoint on dialogues."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path
from typing import Any

from conversations.management.base import (
    ManualCommand,
    all_packages,
    choose_keras_backend,
    data_option,
)
from training.errors import TrainingError


class Command(ManualCommand):
    help = """Fine-tunes a GPT-2 checkpoint on dialogues, with checkpoints and exact resume.

--data takes .jsonl, PersonaChat's .json, ParlAI's .txt (each also .gz) or the words written and
chitchat, and FILE=0.5 shows a random half of it every epoch. The run's directory gets last/ (to go
on from with --resume) and best/ (by perplexity on --validation); export_bundle takes either.

examples:
  manage.py train --checkpoint hf://distilbert/distilgpt2 --data personachat.json \\
      --validation dev.jsonl.gz --out runs/one --steps 6000
  manage.py train --checkpoint runs/one/best --data written --grammar 5000 --minutes 60 \\
      --out runs/two
  manage.py train --size 6x384x6 --data chitchat --steps 4000 --out runs/new
  manage.py train --resume --out runs/two"""

    told = (TrainingError,)
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        from training.config import CHOICES, TrainConfig

        known = {field.name: field for field in fields(TrainConfig)}
        parser.add_argument(
            "--out", type=Path, required=True, metavar="DIR", help="the run's own directory"
        )
        start = parser.add_mutually_exclusive_group()
        start.add_argument(
            "--checkpoint",
            metavar="DIR",
            help="what to start from: a directory, or hf://owner/name to fetch from the Hub",
        )
        start.add_argument(
            "--size",
            metavar="LxWxH",
            help="start from nothing: layers, width and heads, as 6x384x6",
        )
        parser.add_argument(
            "--natural-case",
            action="store_true",
            default=None,
            help="with --size: keep capital letters (default: lower case)",
        )
        parser.add_argument(
            "--data",
            type=data_option,
            action="append",
            metavar="FILE[=TIMES]",
            help="what to learn from; may be given several times",
        )
        parser.add_argument(
            "--validation", type=Path, metavar="FILE", help="dialogues that are only measured"
        )
        parser.add_argument(
            "--soft-targets",
            type=Path,
            metavar="DIR",
            help="what ask_teacher wrote, to be learnt beside what was said",
        )
        for name, words in CHOICES.items():
            parser.add_argument(f"--{name}", choices=words, help=f"default: {known[name].default}")
        parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
        self.add_json(parser)
        for name, field in known.items():
            if text := field.metadata.get("help"):
                parser.add_argument(
                    "--" + name.replace("_", "-"),
                    type=type(field.default),
                    metavar="N",
                    help=f"{text} (default: {field.default})",
                )

    def run(self, **options: Any) -> None:
        choose_keras_backend()
        from conversations.catalogue.generator import characters
        from training.checkpoints.directory import BEST, LAST
        from training.config import TrainConfig

        names = [field.name for field in fields(TrainConfig)]
        given = {name: options[name] for name in names if options[name] is not None}
        with all_packages("training needs"):
            from training.run import run_training

            result = run_training(
                options["out"],
                given,
                resume=options["resume"],
                quiet=options["json"],
                make_characters=lambda count: [c.lines for c in characters(count=count)],
            )
        if result["stopped"]:
            text = (
                f"stopped after {result['steps']} steps: "
                f"manage.py train --resume --out {options['out']} goes on"
            )
        else:
            # A run that was stopped, and then ended by fewer steps, has no best.
            best, last = options["out"] / BEST, options["out"] / LAST
            left = best if best.exists() else last
            text = f"{result['steps']} steps, {result['tokens']} tokens: {left}"
        self.report(result, text, as_json=options["json"])
