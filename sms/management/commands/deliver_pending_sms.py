"""`manage.py deliver_pending_sms`: send the answers that are still owed."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from conversations.management.base import ManualCommand
from sms import client
from sms.models import UNSETTLED, Answer, State
from sms.services.worker import POLL_SECONDS, Worker

HELP = """Sends the answers that are owed by text message and due, through Twilio's REST API.

The running server does this by itself. Run this command when the server is not running, or from
cron if you want it certain. Both may run at the same time: each answer is sent once, by whoever
takes its row first. A reply that a restart cut off is written first, which loads the model.

  manage.py deliver_pending_sms            send what is due now
  manage.py deliver_pending_sms --watch    go on until Ctrl-C
  manage.py deliver_pending_sms --dry-run  only say what is owed

Ends with status 1 if an answer failed for good or its outcome is unknown.
"""


class Command(ManualCommand):
    help = HELP
    # Advice on settings belongs to `check` and `sms_doctor`, not before every answer.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--watch", action="store_true", help="go on until Ctrl-C")
        parser.add_argument("--dry-run", action="store_true", help="only say what is owed")
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        if options["dry_run"]:
            self._tell(_owed(), as_json=options["json"])
            return
        if not client.is_configured():
            raise CommandError(
                "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not both set. See docs/sms.md."
            )
        try:
            settled = asyncio.run(_deliver(watch=options["watch"]))
        except KeyboardInterrupt:
            return
        self._tell({**settled, **_owed()}, as_json=options["json"])
        if settled.get("failed") or settled.get("unknown"):
            raise CommandError("Not every answer was sent; the admin's list of answers says why.")

    def _tell(self, counts: dict[str, int], *, as_json: bool) -> None:
        lines = (f"{name.replace('_', ' ')}: {count}" for name, count in counts.items())
        self.report(counts, "\n".join(lines), as_json=as_json)


def _owed() -> dict[str, int]:
    unsettled = Answer.objects.filter(state__in=UNSETTLED)
    due = Answer.objects.filter(state=State.OWED, due_at__lte=timezone.now())
    return {"owed": unsettled.count(), "owed_and_due": due.count()}


async def _deliver(*, watch: bool) -> dict[str, int]:
    worker = Worker.here()
    if watch:
        while True:
            await worker.settle_due()
            await asyncio.sleep(POLL_SECONDS)
    settled = await worker.settle_due()
    kept = (State.SENT, State.FAILED, State.UNKNOWN)
    return {str(state): settled[state] for state in kept}
