"""What the commands that staff run by hand have in common."""

from __future__ import annotations

import json
import math
import os
import re
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import DatabaseError, ProgrammingError

from conversations.digits import LARGEST_ID, number_from

_LACKING = re.compile(r"no such (table|column)|has no column")


def whole_number(text: str) -> int:
    """The type of an option that counts something, or is a seed."""
    number = number_from(text)
    if number is None:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 up to {LARGEST_ID}")
    return number


def data_option(text: str) -> tuple[str, float]:
    """The type of an option that names dialogues: FILE, or FILE=0.5."""
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


@contextmanager
def all_packages(use: str) -> Iterator[None]:
    """A part of a command that takes more than a server has installed: `use` is "export needs"."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CommandError(
            f"The package {error.name} is missing; requirements.txt has what {use}."
        ) from error


def choose_keras_backend() -> None:
    """TensorFlow, unless KERAS_BACKEND names another, and quiet; before Keras is imported."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A part of a command that writes a file."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path}: cannot be written ({error.strerror or error}).") from error


@contextmanager
def drawing(path: Path) -> Iterator[None]:
    """A part of a command that draws a picture, whose kind its name tells."""
    try:
        with all_packages("--plot takes"), writing(path):
            yield
    except ValueError as error:
        raise CommandError(f"{path}: cannot be drawn ({error}).") from error


def _database_advice(error: DatabaseError) -> str:
    """What may help: SQLite has no error of its own for tables and columns that are missing."""
    is_behind = isinstance(error, ProgrammingError) or _LACKING.search(str(error))
    if is_behind:
        return "`manage.py migrate` brings it up to date."
    return "Check DATABASE_URL, and that the database runs."


class ManualCommand(BaseCommand):
    """A command whose help keeps its line breaks and whose errors, those of the database and those
    that are `told`, are one line."""

    # What `run` may raise whose text is for who typed the command.
    told: tuple[type[Exception], ...] = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.run(**options)
        except self.told as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CommandError(
                f"The database refuses: {first_line}. {_database_advice(error)}"
            ) from error

    def run(self, **options: Any) -> None:
        raise NotImplementedError

    def add_json(self, parser: ArgumentParser) -> None:
        """The option of a command that reports."""
        parser.add_argument("--json", action="store_true", help="report as one JSON line")

    def report(
        self,
        values: Mapping[str, Any],
        text: str,
        *,
        as_json: bool,
        to: OutputWrapper | None = None,
    ) -> None:
        """What came of it, for a program or for a person; on the standard output unless `to` says
        where else."""
        line = json.dumps(values) if as_json else text
        (to or self.stdout).write(line, style_func=str)
