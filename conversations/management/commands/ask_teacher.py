"""`manage.py ask_teacher`: what a larger model would say, for `train --soft-targets`."""

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
    writing,
)
from training.errors import TrainingError


class Command(ManualCommand):
    help = """Lets a larger language model read dialogues and keeps what it would have said.

train --soft-targets learns that beside what was said: a small model gets better than by data alone.
The teacher may be anything that KerasHub reads from a Hugging Face directory with a byte-level
tokenizer (SmolLM2, Llama 3, Qwen), and a stranger to the pupil's vocabulary. It may learn how
people chat first (--adapt-minutes). Run again with the same --out, it goes on where it was.

examples:
  manage.py ask_teacher --teacher hf://HuggingFaceTB/SmolLM2-135M-Instruct \\
      --checkpoint runs/one/best --data personachat.json --data chitchat=0.5 \\
      --adapt-minutes 15 --minutes 60 --precision mixed_bfloat16 --out runs/teacher
  manage.py train --checkpoint runs/one/best --data personachat.json --data chitchat \\
      --soft-targets runs/teacher --minutes 60 --out runs/two"""

    told = (TrainingError,)
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        from training.config import CHOICES

        parser.add_argument(
            "--teacher", required=True, metavar="DIR", help="a directory, or hf://owner/name"
        )
        parser.add_argument(
            "--checkpoint",
            required=True,
            metavar="DIR",
            help="what train will start from, for its tokenizer: a directory, or hf://owner/name",
        )
        parser.add_argument(
            "--data",
            type=data_option,
            action="append",
            required=True,
            metavar="FILE[=SHARE]",
            help="as of train; SHARE is this file's part of what is read, beside the others'",
        )
        parser.add_argument("--out", type=Path, required=True, metavar="DIR")
        parser.add_argument("--minutes", type=float, required=True, metavar="N", help="of reading")
        parser.add_argument(
            "--adapt-minutes",
            type=float,
            default=0.0,
            metavar="N",
            help="of learning how people chat before, from the dialogues that would be read last",
        )
        parser.add_argument(
            "--batch-tokens",
            type=int,
            default=4096,
            metavar="N",
            help="read at a time (default: %(default)s)",
        )
        parser.add_argument(
            "--precision", choices=CHOICES["precision"], default="float32", help="default: float32"
        )
        parser.add_argument("--seed", type=int, default=0, metavar="N")
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        choose_keras_backend()

        report = self.stderr.write if options["json"] else self.stdout.write
        with all_packages("a teacher needs"), writing(options["out"]):
            from training.teacher.reading import ReadOptions, ask_teacher

            chosen = {field.name: options[field.name] for field in fields(ReadOptions)}
            result = ask_teacher(ReadOptions(**chosen), report)
        text = f"{result['dialogues']} dialogues, {result['rows']} tokens asked: {options['out']}"
        self.report(result, text, as_json=options["json"])
