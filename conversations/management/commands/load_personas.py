"""`manage.py load_personas`: characters from the built-in catalogue or from a file."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from conversations.catalogue import DEFAULT_COUNT, DEFAULT_SEED, CatalogueError
from conversations.management.base import ManualCommand, whole_number
from conversations.models import Persona
from conversations.selectors import personas_active
from conversations.services.persona_files import PersonaFileError
from conversations.services.persona_formats import READERS
from conversations.services.personas import (
    DEFAULT_MAX_ERRORS,
    Loaded,
    personas_import,
    personas_load_catalogue,
)

EXAMPLES = """\
examples:
  manage.py load_personas                                the built-in catalogue
  manage.py load_personas --count 500 --seed 7           a small cast of others
  manage.py load_personas personachat_self_original.json PersonaChat, Hugging Face's JSON
  manage.py load_personas train_both_original.txt        PersonaChat or ConvAI2, ParlAI's text
  manage.py load_personas dialogues.jsonl.gz             dialogues as JSON lines

Running it again adds only what is missing. Characters that staff have edited stay edited, and
those that staff have switched off stay off; a deleted one comes back, so switch off rather than
delete. Files may be gzipped. A load that fails adds nothing.
"""
SHOWN_PROBLEMS = 10
# All are in memory before the first is in the database.
MAX_COUNT = 200_000


class Command(ManualCommand):
    help = "Fill the database with characters: the built-in catalogue, or those of a file."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLES, **kwargs)

    told = (PersonaFileError, CatalogueError)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", nargs="?", type=Path, help="a file of characters (default: the catalogue)"
        )
        parser.add_argument(
            "--count",
            type=whole_number,
            help=f"characters to make from the catalogue (default: {DEFAULT_COUNT})",
        )
        parser.add_argument(
            "--seed", type=int, help=f"another seed, other characters (default: {DEFAULT_SEED})"
        )
        parser.add_argument(
            "--format", choices=tuple(READERS), help="of the file (default: found out)"
        )
        parser.add_argument(
            "--max-errors",
            type=whole_number,
            help="damaged places in the file that are left out and reported before the load is "
            f"given up (default: {DEFAULT_MAX_ERRORS})",
        )
        parser.add_argument(
            "--if-empty", action="store_true", help="only if there are no characters at all"
        )
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        self._check(options)
        started = time.monotonic()
        there = Persona.objects.count() if options["if_empty"] else 0
        loaded = Loaded("all", 0, there) if there else self._load(options)
        self._tell(loaded, time.monotonic() - started, as_json=options["json"])

    def _check(self, options: dict[str, Any]) -> None:
        if (options["count"] or 0) > MAX_COUNT:
            raise CommandError(f"--count is at most {MAX_COUNT:,}.")
        of_catalogue, of_file = ("count", "seed"), ("format", "max_errors")
        for name in of_catalogue if options["file"] else of_file:
            if options[name] is not None:
                belongs = "the built-in catalogue, not a file" if options["file"] else "a file"
                raise CommandError(f"--{name.replace('_', '-')} is for {belongs}.")

    def _load(self, options: dict[str, Any]) -> Loaded:
        quiet = options["json"] or options["verbosity"] == 0
        # None: a bar only where somebody sees it.
        disable = True if quiet else None
        path: Path | None = options["file"]
        if path:
            size = path.stat().st_size if path.is_file() else None
            with tqdm(total=size, unit="B", unit_scale=True, disable=disable) as bar:
                return personas_import(
                    path=path,
                    file_format=options["format"],
                    max_errors=_or(options["max_errors"], DEFAULT_MAX_ERRORS),
                    progress=bar.update,
                )
        count = _or(options["count"], DEFAULT_COUNT)
        with tqdm(total=count, unit=" characters", disable=disable) as bar:
            return personas_load_catalogue(
                count=count, seed=_or(options["seed"], DEFAULT_SEED), progress=bar.update
            )

    def _tell(self, loaded: Loaded, seconds: float, *, as_json: bool) -> None:
        active = personas_active().count()
        values = {
            "source": loaded.source,
            "added": loaded.added,
            "already_there": loaded.already_there,
            "skipped": len(loaded.damaged),
            "problems": [str(problem) for problem in loaded.damaged],
            "active": active,
            "seconds": round(seconds, 2),
        }
        text = (
            f"{loaded.source}: {loaded.added:,} added, {loaded.already_there:,} already there, "
            f"{len(loaded.damaged):,} skipped, in {seconds:.1f} s. "
            f"{active:,} characters are active."
        )
        if not as_json:
            self._show_problems(loaded)
        self.report(values, text, as_json=as_json)

    def _show_problems(self, loaded: Loaded) -> None:
        for problem in loaded.damaged[:SHOWN_PROBLEMS]:
            self.stderr.write(f"skipped {problem}")
        if len(loaded.damaged) > SHOWN_PROBLEMS:
            self.stderr.write(f"and {len(loaded.damaged) - SHOWN_PROBLEMS} more; --json names all")


def _or(given: int | None, default: int) -> int:
    return default if given is None else given
