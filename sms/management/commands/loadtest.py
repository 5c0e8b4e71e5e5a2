"""`manage.py loadtest`: how many people a running server holds."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from conversations.loadtest.machine import server_find
from conversations.loadtest.plan import Plan, Text
from conversations.loadtest.trial import (
    Sample,
    plot_write,
    samples_kept,
    trial_run,
    trial_search,
)
from conversations.management.base import ManualCommand, drawing, writing
from conversations.management.options import server_url
from sms.numbers import Address
from sms.texting import incoming_form, messages_parse, our_number, signed


class Command(ManualCommand):
    requires_system_checks = ()
    help = """Plays simultaneous people who chat with a running server, and reports what they saw.

Each opens the site as a new browser, connects the websocket and writes at a human pace. From
another machine all come from one address, so the server needs wider limits than it has in public,
and in any case a database that may be thrown away:

  DATABASE_URL=sqlite:////tmp/load.sqlite3 CHATBOT_MESSAGE_RATE=1000000/minute \\
    CHATBOT_CONVERSATION_RATE=1000000/hour bin/serve

examples:
  manage.py loadtest --people 200                          a minute of 200 people
  manage.py loadtest --people 500 --find                   the most people that it holds
  manage.py loadtest --people 200 --minutes 20 --csv soak.csv --plot soak.png
  manage.py loadtest --people 100 --sms-share 0.3          a third of them text (TWILIO_AUTH_TOKEN,
                        and CHATBOT_SMS_RATE, CHATBOT_SMS_GLOBAL_RATE=1000000/minute and
                        CHATBOT_SMS_DAILY_CAP=1000000 for the server)

A server holds a crowd when 95 of 100 first tokens come within 300 ms and replies within 1.5 s, and
nothing fails or is lost. That is measured when all have come and settled; how long the page and the
socket took to open meanwhile is told beside it. Ends with status 1 when replies fail or get lost.
Above 900 people raise the limit of open files (ulimit -n 4096), the server's too."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--url",
            type=server_url,
            default=f"http://127.0.0.1:{settings.ENV.port}",
            help="the server (default: %(default)s)",
        )
        parser.add_argument(
            "--people", type=int, default=100, help="how many, or where --find begins (%(default)s)"
        )
        parser.add_argument(
            "--every", type=float, default=20.0, help="seconds between one's messages (%(default)s)"
        )
        parser.add_argument(
            "--seconds", type=float, default=60.0, help="time that is measured (%(default)s)"
        )
        parser.add_argument("--minutes", type=float, help="the same in minutes, for a soak")
        parser.add_argument(
            "--ramp", type=float, help="seconds in which people come (default: 20 a second)"
        )
        parser.add_argument(
            "--settle", type=float, default=5.0, help="seconds between that and the measurement"
        )
        parser.add_argument("--patience", type=float, default=15.0, help="then a reply is lost")
        parser.add_argument("--sms-share", type=float, default=0.0, help="0 to 1")
        parser.add_argument("--pid", type=int, help="the server's process, if it is not found")
        parser.add_argument("--find", action="store_true", help="search the most people it holds")
        parser.add_argument("--csv", type=Path, help="write a sample every ten seconds")
        parser.add_argument("--plot", type=Path, help="draw them (needs matplotlib)")
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        if options["find"] and (options["csv"] or options["plot"]):
            raise CommandError("--csv and --plot are of one crowd; --find tries several.")
        plan = _plan(options)
        pid = options["pid"] or server_find(plan.url)
        samples: list[Sample] = []
        if options["find"]:
            report = asyncio.run(trial_search(plan, pid=pid, told=self._tell))
        else:
            report = _trial(plan, pid, samples, options["csv"])
        if report is None:
            raise CommandError("The server holds no crowd of any size that was tried.")
        self.report(report, _told(report), as_json=options["json"])
        if options["plot"]:
            with drawing(options["plot"]):
                plot_write(samples, options["plot"])
        if report["failed"] or report["lost"] or report["problems"] or not report["sent"]:
            raise CommandError(_complaint(report))

    def _tell(self, report: dict[str, Any]) -> None:
        self.stderr.write(_told(report))


def _trial(
    plan: Plan, pid: int | None, samples: list[Sample], table: Path | None
) -> dict[str, Any]:
    with ExitStack() as recording:
        # Told before a soak, not after it.
        with writing(table) if table else nullcontext():
            keep = recording.enter_context(samples_kept(samples, table))
        return asyncio.run(trial_run(plan, pid=pid, sampled=keep))


def _told(report: dict[str, Any]) -> str:
    first, reply = report["first_token_ms"], report["reply_ms"]
    opening = report["opening_ms"]
    return (
        f"{report['people']} people: {report['sent']} messages in {report['seconds']} s, "
        f"{report['complete']} replies, {report['failed']} failed, {report['lost']} lost; "
        f"first token {first['p50']}/{first['p95']}/{first['p99']} ms, "
        f"reply {reply['p50']}/{reply['p95']}/{reply['p99']} ms (p50/p95/p99); "
        f"{report['tokens_s']} tokens/s; server {report['server_cores']} cores, "
        f"{report['server_cpu_ms']} ms a message, {report['server_rss_mb']} MiB; "
        f"opening took {opening['p50']}/{opening['p95']} ms; "
        f"{'holds' if report['holds'] else 'does not hold'}\n"
        f"The generator took {report['generator_cores']} cores and was up to "
        f"{report['generator_late_ms']} ms late (p95)"
        + (": it, not the server, may be what is slow." if report["generator_is_late"] else ".")
    )


def _plan(options: dict[str, Any]) -> Plan:
    ramp = options["ramp"] if options["ramp"] is not None else options["people"] / 20
    minutes = options["minutes"]
    try:
        return Plan(
            url=options["url"],
            people=options["people"],
            every=options["every"],
            seconds=minutes * 60 if minutes else options["seconds"],
            ramp=ramp,
            settle=options["settle"],
            patience=options["patience"],
            sms_share=options["sms_share"],
            text=_texting(options["url"]) if options["sms_share"] else None,
        )
    except ValueError as error:
        raise CommandError(f"--{str(error).replace('_', '-', 1)}") from error


def _texting(server: str) -> Callable[[str, str], Text]:
    """What makes the texts of a plan. ValueError says what is missing."""
    token, to = settings.ENV.twilio_auth_token, our_number()
    if not token:
        raise ValueError("sms_share: texts need a token to sign them (TWILIO_AUTH_TOKEN)")

    def text(sender: str, saying: str) -> Text:
        form = incoming_form(Address(sender), to, saying)
        path, headers = signed(form, token=token, public_url=settings.PUBLIC_URL or server)
        return Text(path, headers, form, lambda body: bool(messages_parse(body)))

    return text


def _complaint(report: dict[str, Any]) -> str:
    if "rate_limited" in report["problems"]:
        return (
            "The server limits how much one address may write. Start it with CHATBOT_MESSAGE_RATE="
            "1000000/minute and CHATBOT_CONVERSATION_RATE=1000000/hour."
        )
    if not report["sent"] and not report["problems"]:
        return "Nobody had the time to write: give more --seconds or a shorter --every."
    problems = ", ".join(f"{what} ({number})" for what, number in report["problems"].items())
    return f"{report['failed']} failed, {report['lost']} lost. {problems}".strip()
