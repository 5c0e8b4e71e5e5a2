"""`manage.py vary_dialogues`: dialogues as people with manners of their own would write them."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from conversations.management.base import ManualCommand, whole_number, writing
from conversations.management.files import new_file
from training.data.dialogue import dialogue_json
from training.data.manners import varied_dialogues
from training.errors import TrainingError


class Command(ManualCommand):
    help = """Writes dialogues anew as people would who each have their own manners.

Dialogues that a language model wrote are all written alike: "I'm" throughout, a mark at the end of
every turn, and much exclaiming. People differ, and surprise a model that has met nothing else. Here
half of the speakers write contractions out ("I am", "do not"), half never exclaim, and a quarter
leave the last full stop of a turn out. Wrong replies that come with a file (PersonaChat) are left
out.

example:
  manage.py vary_dialogues --data synthetic.jsonl.gz --out varied.jsonl.gz
  manage.py train --checkpoint runs/base/best --data varied.jsonl.gz --out runs/one --steps 2000"""

    told = (TrainingError,)
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", required=True, metavar="FILE")
        parser.add_argument(
            "--out",
            type=Path,
            required=True,
            metavar="FILE",
            help="JSON lines, gzipped if its name ends in .gz",
        )
        parser.add_argument(
            "--seed",
            type=whole_number,
            default=0,
            metavar="N",
            help="decides who has which manners (default: %(default)s)",
        )
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        out: Path = options["out"]
        dialogues = varied_dialogues(options["data"], self.stderr.write, seed=options["seed"])
        written = 0
        with writing(out), new_file(out, zipped=out.suffix == ".gz") as file:
            for dialogue in dialogues:
                file.write(json.dumps(dialogue_json(dialogue), ensure_ascii=False) + "\n")
                written += 1
        values = {"out": str(out), "dialogues": written}
        self.report(values, f"{out}: {written} dialogues", as_json=options["json"])
