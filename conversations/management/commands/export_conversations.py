"""`manage.py export_conversations`: conversations as a file of dialogues."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TextIO

from django.core.management.base import CommandError
from django.db.models import QuerySet
from tqdm import tqdm

from conversations.management.base import ManualCommand
from conversations.management.options import since, until
from conversations.models import Channel, Conversation
from conversations.selectors import FEEDBACK
from conversations.services.transfer_out import conversations_to_export, dialogues_export


class Command(ManualCommand):
    help = """Writes conversations as dialogues, one JSON object a line:

  {"source": "chat/web", "personas": [[], [the character's lines]], "turns": [person, character, …]}

This is the format that `evaluate`, training and `import_conversations` read. Nothing in it leads to
a person: no accounts, ids, times or titles, and e-mail addresses, links and phone numbers in the
texts are masked. People may still have written about themselves, so treat the file with care.

examples:
  manage.py export_conversations chats.jsonl.gz
  manage.py export_conversations liked.jsonl --feedback up --since 2026-11-01
  manage.py export_conversations - --channel web --channel sms | less"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "output", help="file to write, gzipped if its name ends in .gz; - for standard output"
        )
        parser.add_argument("--gzip", action="store_true", help="gzip whatever the name")
        parser.add_argument("--force", action="store_true", help="replace a file that is there")
        parser.add_argument(
            "--since", type=since, metavar="DATE", help="started on or after this date or time"
        )
        parser.add_argument(
            "--until", type=until, metavar="DATE", help="started on or before this date or time"
        )
        parser.add_argument(
            "--channel",
            choices=Channel.values,
            action="append",
            help="only this channel; may be given several times",
        )
        parser.add_argument(
            "--feedback", choices=FEEDBACK, help="only with a reply that was given this feedback"
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="report as one line of JSON (on standard error when the output is -)",
        )

    def run(self, **options: Any) -> None:
        conversations = conversations_to_export(
            since=options["since"],
            until=options["until"],
            channels=options["channel"],
            feedback=options["feedback"],
        )
        output = options["output"]
        to_stdout = output == "-"
        zipped = options["gzip"] or output.endswith(".gz")
        if not to_stdout and Path(output).exists() and not options["force"]:
            raise CommandError(f"{output} is there already; --force replaces it.")
        try:
            with _standard_output(zipped) if to_stdout else _new_file(Path(output), zipped) as file:
                report = _write(file, conversations)
        except BrokenPipeError:
            # The reader has seen enough. Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}.") from error
        report = {"output": output, **report}
        stream = self.stderr if to_stdout else self.stdout
        stream.style_func = None
        if options["json"]:
            stream.write(json.dumps(report))
        else:
            stream.write(
                f"{report['conversations']} conversations with {report['turns']} turns "
                f"written to {'standard output' if to_stdout else output}."
            )


def _write(file: TextIO, conversations: QuerySet[Conversation]) -> dict[str, Any]:
    written = turns = 0
    dialogues = dialogues_export(conversations=conversations)
    total = conversations.count()
    for dialogue in tqdm(dialogues, total=total, unit=" conversations", disable=None):
        file.write(json.dumps(dialogue, ensure_ascii=False) + "\n")
        written += 1
        turns += len(dialogue["turns"])
    return {"conversations": written, "turns": turns}


@contextlib.contextmanager
def _new_file(path: Path, zipped: bool) -> Iterator[TextIO]:
    """A file that takes its name only once it is whole."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
        try:
            with _text(draft, zipped) as text:
                yield text
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _standard_output(zipped: bool) -> Iterator[TextIO]:
    if not zipped:
        yield sys.stdout
        sys.stdout.flush()
        return
    with _text(sys.stdout.buffer, zipped) as text:
        yield text


@contextlib.contextmanager
def _text(stream: Any, zipped: bool) -> Iterator[TextIO]:
    # No time and no name in the header: the same conversations make the same bytes.
    binary = gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) if zipped else stream
    text = io.TextIOWrapper(binary, encoding="utf-8", newline="\n")
    try:
        yield text
        text.flush()
    finally:
        text.detach()
        if zipped:
            binary.close()
        stream.flush()
