"""`manage.py export_conversations`: conversations as a file of dialogues."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import CommandError
from django.db.models import QuerySet
from tqdm import tqdm

from conversations.management.base import ManualCommand
from conversations.management.files import new_file, standard_output
from conversations.management.options import since, until
from conversations.models import Channel, Conversation
from conversations.selectors import FEEDBACK
from conversations.services.transfer_out import conversations_to_export, dialogues_export

STANDARD_OUTPUT = "-"


class Command(ManualCommand):
    help = """Writes conversations as dialogues, one JSON object a line:

  {"source": "chat/web", "personas": [[], [the character's lines]], "turns": [person, character, …]}

This is the format that `evaluate`, training and `import_conversations` read. Nothing in it leads to
a person: no accounts, ids, times or titles, and e-mail addresses, links and phone numbers in the
texts are masked. People may still have written about themselves, so treat the file with care.

examples:
  manage.py export_conversations chats.jsonl.gz
  manage.py export_conversations liked.jsonl --feedback up --since 2026-11-01
  manage.py export_conversations - --channel web --channel sms | less

With - the report goes to standard error."""

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
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        conversations = conversations_to_export(
            since=options["since"],
            until=options["until"],
            channels=options["channel"],
            feedback=options["feedback"],
        )
        output = options["output"]
        to_stdout = output == STANDARD_OUTPUT
        zipped = options["gzip"] or output.endswith(".gz")
        if not to_stdout and Path(output).exists() and not options["force"]:
            raise CommandError(f"{output} is there already; --force replaces it.")
        try:
            with _opened(output, zipped) as file:
                counts = _write(file, conversations)
        except BrokenPipeError:
            # The reader has seen enough. Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}.") from error
        text = (
            f"{counts['conversations']} conversations with {counts['turns']} turns "
            f"written to {'standard output' if to_stdout else output}."
        )
        self.report(
            {"output": output, **counts},
            text,
            as_json=options["json"],
            to=self.stderr if to_stdout else self.stdout,
        )


def _opened(output: str, zipped: bool) -> AbstractContextManager[TextIO]:
    if output == STANDARD_OUTPUT:
        return standard_output(zipped=zipped)
    return new_file(Path(output), zipped=zipped)


def _write(file: TextIO, conversations: QuerySet[Conversation]) -> dict[str, Any]:
    written = turns = 0
    dialogues = dialogues_export(conversations=conversations)
    total = conversations.count()
    for dialogue in tqdm(dialogues, total=total, unit=" conversations", disable=None):
        file.write(json.dumps(dialogue, ensure_ascii=False) + "\n")
        written += 1
        turns += len(dialogue["turns"])
    return {"conversations": written, "turns": turns}
