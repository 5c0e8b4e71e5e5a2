"""`manage.py train`: fine-tunes a GPT-2 checkpoint on dialogues."""

from __future__ import annotations

import json
import math
import os
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from conversations.management.base import ManualCommand, all_packages

# Options that are one field of TrainConfig each: its name, type and what it is for.
NUMBERS: dict[str, tuple[type, str]] = {
    "steps": (int, "stop after N updates"),
    "minutes": (float, "stop after N minutes; the learning rate falls to nothing by then"),
    "positions": (int, "with --size: the longest text in tokens"),
    "vocabulary": (int, "with --size: tokens, learnt from the data"),
    "grammar": (int, "make N dialogues of questions about personas and their answers"),
    "rows": (int, "rows of a batch"),
    "row_length": (int, "tokens of a row; several dialogues share one"),
    "max_dialogue": (int, "longer dialogues are cut in halves"),
    "target_share": (float, "of a row's tokens, at most so many are learnt"),
    "accumulation": (int, "batches per update"),
    "learning_rate": (float, "at its highest"),
    "warmup": (float, "share of the run over which the learning rate rises"),
    "weight_decay": (float, "of AdamW"),
    "clip_norm": (float, "largest norm of an update's gradients"),
    "dropout": (float, ""),
    "lm_coef": (float, "weight of the next-token loss"),
    "choice_coef": (float, "weight of the choice among candidate replies"),
    "person_coef": (float, "weight of the loss on what the person says beside the replies"),
    "candidates": (int, "replies to choose among; 1 leaves the second task out"),
    "choice_share": (float, "share of the dialogues that take part in the second task"),
    "seed": (int, "decides data order, dropout and distractors"),
    "save_minutes": (float, "between checkpoints"),
    "keep_steps": (int, "between copies that stay in OUT/steps, for a mean of them; 0: none"),
    "evaluate_steps": (int, "between evaluations"),
    "evaluate_dialogues": (int, "validation dialogues"),
    "patience": (int, "stop after N evaluations without a better one; 0: never"),
}

OTHERS = (
    "checkpoint",
    "size",
    "natural_case",
    "validation",
    "characters",
    "precision",
    "optimizer",
)


class Command(ManualCommand):
    help = """Fine-tunes a GPT-2 checkpoint on dialogues, with checkpoints and exact resume.

--data takes .jsonl, PersonaChat's .json, ParlAI's .txt (each also .gz) or the word chitchat, and
FILE=0.5 shows a random half of it every epoch. The run's directory gets last/ (to go on from with
--resume) and best/ (by perplexity on --validation); export_bundle takes either.

examples:
  manage.py train --checkpoint hf://distilbert/distilgpt2 --data personachat.json \\
      --validation dev.jsonl.gz --out runs/one --steps 6000
  manage.py train --checkpoint runs/one/best --data chitchat=0.1 --grammar 5000 --minutes 60 \\
      --out runs/two
  manage.py train --size 6x384x6 --data chitchat --steps 4000 --out runs/new
  manage.py train --resume --out runs/two"""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        from training.config import CHOICES, TrainConfig

        defaults = {
            field.name: field.default
            for field in fields(TrainConfig)
            if field.default is not MISSING
        }
        parser.add_argument("--out", type=Path, required=True, metavar="DIR")
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
        parser.add_argument("--data", type=_data, action="append", metavar="FILE[=TIMES]")
        parser.add_argument("--validation", type=Path, metavar="FILE")
        parser.add_argument(
            "--characters",
            type=int,
            metavar="N",
            help="characters of the built-in catalogue that grammar dialogues draw on",
        )
        for name, words in CHOICES.items():
            parser.add_argument(f"--{name}", choices=words, help=f"default: {defaults[name]}")
        parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
        parser.add_argument("--json", action="store_true", help="report as one JSON line")
        for name, (kind, text) in NUMBERS.items():
            parser.add_argument(
                "--" + name.replace("_", "-"),
                type=kind,
                metavar="N",
                help=f"{text} (default: {defaults[name]})".strip(),
            )

    def run(self, **options: Any) -> None:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with all_packages("training needs"):
            from training.run import run_training
        from conversations.catalogue.generator import characters
        from training.checkpoint import ExportError
        from training.config import TrainError
        from training.data.dialogue import DataError

        names = (*NUMBERS, *OTHERS)
        given = {name: options[name] for name in names if options[name] is not None}
        if options["data"]:
            given["data"] = tuple(options["data"])
        try:
            result = run_training(
                options["out"],
                given,
                resume=options["resume"],
                quiet=options["json"],
                make_characters=lambda count: [c.lines for c in characters(count=count)],
            )
        except (TrainError, DataError, ExportError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(result))
        elif result["stopped"]:
            self.stdout.write(
                f"stopped after {result['steps']} steps: "
                f"manage.py train --resume --out {options['out']} goes on"
            )
        else:
            self.stdout.write(
                f"{result['steps']} steps, {result['tokens']} tokens: {options['out']}/best"
            )


def _data(text: str) -> tuple[str, float]:
    path, _, times = text.rpartition("=")
    if not path:
        return text, 1.0
    try:
        repeat = float(times)
    except ValueError:
        repeat = -1.0
    if not 0 < repeat < math.inf:
        raise ArgumentTypeError(f"{text}: after = comes a number above 0, as in {path}=0.5")
    return path, repeat
