"""`manage.py prune_conversations`: delete what has been idle for long."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.utils import timezone
from tqdm import tqdm

from conversations.management.base import ManualCommand
from conversations.management.options import duration
from conversations.models import Channel, Message
from conversations.services.retention import (
    Deleted,
    conversations_delete_batches,
    conversations_idle_since,
    others_prune,
)


class Command(ManualCommand):
    help = """Deletes conversations without activity for a time, with everything said in them, and
phone numbers that were silent as long, but those that texted STOP or are blocked.

examples:
  manage.py prune_conversations --older-than 90d --dry-run     what would go
  manage.py prune_conversations --older-than 90d               delete it
  manage.py prune_conversations --older-than 1d --only-empty   only those nobody wrote in

Works in batches, each in a transaction of its own: it can be broken off and run again at any time,
also while the site is being used. There is no way back but a backup."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than",
            type=duration,
            required=True,
            metavar="TIME",
            help="time without activity: hours (36h), days (90d) or weeks (12w)",
        )
        parser.add_argument(
            "--channel",
            choices=Channel.values,
            action="append",
            help="only conversations of this channel; may be given several times",
        )
        parser.add_argument(
            "--only-empty", action="store_true", help="only conversations in which nothing was said"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be deleted and delete nothing"
        )
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        moment = timezone.now() - options["older_than"]
        idle = conversations_idle_since(
            moment=moment, channels=options["channel"], only_empty=options["only_empty"]
        )
        total = idle.count()
        if options["dry_run"]:
            messages = Message.objects.filter(conversation__in=idle).count()
            deleted = Deleted(conversations=total, messages=messages)
        else:
            deleted = self._delete(idle, total)
        others = self._others(moment, options)
        values = {
            "older_than": moment.isoformat(timespec="seconds"),
            "dry_run": options["dry_run"],
            "conversations": deleted.conversations,
            "messages": deleted.messages,
            **{name.replace(" ", "_"): number for name, number in others.items()},
        }
        verb = "Would delete" if options["dry_run"] else "Deleted"
        text = (
            f"{verb} {deleted.conversations} conversations with {deleted.messages} messages, "
            f"idle since before {timezone.localtime(moment):%Y-%m-%d %H:%M %Z}."
        )
        text += "".join(f" {verb} {number} {name}." for name, number in others.items() if number)
        self.report(values, text, as_json=options["json"])

    def _others(self, moment: datetime, options: dict[str, Any]) -> dict[str, int]:
        if options["only_empty"]:
            return {}
        return others_prune(moment=moment, channels=options["channel"], dry_run=options["dry_run"])

    def _delete(self, idle: Any, total: int) -> Deleted:
        deleted = Deleted()
        with tqdm(total=total, unit=" conversations", disable=None) as progress:
            for batch in conversations_delete_batches(conversations=idle):
                deleted += batch
                progress.update(batch.conversations)
        return deleted
