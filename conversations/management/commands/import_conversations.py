"""`manage.py import_conversations`: conversations from a file of dialogues."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from conversations.management.base import ManualCommand
from conversations.services.transfer_in import (
    DialogueFileInvalid,
    Imported,
    dialogues_import,
    dialogues_known,
    dialogues_read,
)


class Command(ManualCommand):
    help = """Adds the dialogues of a file (JSON lines, gzipped or not) as conversations:

  {"source": …, "personas": [[first speaker's lines], [second speaker's lines]], "turns": […]}

The first speaker becomes the person, the second the character. They appear in the admin under the
channel "imported". A dialogue that is there already, also as a chat that was exported from here, is
left alone, so that importing twice changes nothing. Characters that are not there yet come along
switched off. The whole file is checked first: a mistake anywhere, and nothing is imported.

example:
  manage.py import_conversations chats.jsonl.gz"""

    told = (DialogueFileInvalid,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the file to read")
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        path = options["file"]
        imported = Imported()
        total = sum(1 for _ in tqdm(dialogues_read(path=path), desc="Checking", disable=None))
        if not total:
            raise CommandError(f"{path} holds no dialogues.")
        known = dialogues_known()
        with tqdm(total=total, desc="Importing", disable=None) as progress:
            dialogues = dialogues_read(path=path)
            for batch in dialogues_import(dialogues=dialogues, known=known):
                imported += batch
                progress.update(batch.added + batch.already_there)
        text = (
            f"{imported.added} conversations added, {imported.already_there} were there "
            f"already; {imported.characters} new characters, switched off."
        )
        self.report({"file": str(path), **asdict(imported)}, text, as_json=options["json"])
