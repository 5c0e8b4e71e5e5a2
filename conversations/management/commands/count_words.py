"""`manage.py count_words`: the words of dialogues, for `export_bundle --words`."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from conversations.management.base import ManualCommand, all_packages, whole_number, writing
from training.errors import TrainingError


class Command(ManualCommand):
    help = """Lists the words of dialogues, one a line, sorted.

export_bundle --words holds a model to them: what it writes in several tokens is one of these words,
or one of the persona's or the person's. A small model invents words without. Take out of the list
what no character should say.

example:
  manage.py count_words --data personachat.json --data chitchat --out words.txt
  manage.py export_bundle --checkpoint runs/best --words words.txt --out var/bundles/best"""

    told = (TrainingError,)
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", action="append", required=True, metavar="FILE")
        parser.add_argument("--out", type=Path, required=True, metavar="FILE")
        parser.add_argument(
            "--at-least",
            type=whole_number,
            default=5,
            metavar="N",
            help="leave out what occurs less often: names and typing errors (default: %(default)s)",
        )
        parser.add_argument(
            "--grammar",
            type=whole_number,
            default=0,
            metavar="N",
            help="with all words of N dialogues made by rule, as for train --grammar",
        )
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        with all_packages("this takes"):
            from training.words import count_words, write_words
        words = count_words(
            options["data"],
            at_least=options["at_least"],
            report=self.stderr.write,
            grammar=options["grammar"],
        )
        with writing(options["out"]):
            write_words(options["out"], words)
        values = {"out": str(options["out"]), "words": len(words)}
        self.report(values, f"{options['out']}: {len(words)} words", as_json=options["json"])
