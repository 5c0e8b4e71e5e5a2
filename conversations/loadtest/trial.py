"""One trial, a search for the most people, and a soak's record."""

from __future__ import annotations

import asyncio
import csv
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from conversations.loadtest.machine import cpu_seconds
from conversations.loadtest.people import Crowd
from conversations.loadtest.plan import Plan, Tally, quantile
from inference.process import resident_mb

# Beyond these the times say as much about the generator as about the server.
BUSY_CORES = 0.7
LATE_SECONDS = 0.05
_CLOCK_SECONDS = 0.05
_SAMPLE_SECONDS = 10.0
_TOKENS = re.compile(r"^chatbot_tokens_generated_total (\S+)", re.MULTILINE)

Sample = dict[str, float]


async def trial_run(
    plan: Plan, *, pid: int | None = None, sampled: Callable[[Sample], None] | None = None
) -> dict[str, Any]:
    """Play a plan; the report. `pid` is the server's; `sampled` is called every ten seconds,
    in a short run four times.

    What it costs is what was spent in the measured window; people come before and leave after it.
    """
    tally = Tally()
    watcher = asyncio.create_task(_watch(plan, tally, pid, sampled)) if sampled else None
    late: list[float] = []
    try:
        async with Crowd(plan, tally) as crowd:
            await crowd.come()
            await asyncio.sleep(plan.settle)
            clock = asyncio.create_task(_watch_clock(late))
            before = await _spent(plan, pid)
            tally.counting = True
            await asyncio.sleep(plan.seconds)
            tally.counting = False
            clock.cancel()
            after = await _spent(plan, pid)
            await crowd.leave()
        costs = _costs(before, after, tally.sent, late)
        memory = {"server_rss_mb": resident_mb(pid) if pid else None}
        return {"people": plan.people, **tally.report(), **costs, **memory}
    finally:
        if watcher:
            watcher.cancel()


async def trial_search(
    plan: Plan, *, pid: int | None = None, told: Callable[[dict[str, Any]], None]
) -> dict[str, Any] | None:
    """The report of the largest crowd that the server holds, to within a tenth; None if none.

    Doubles from the plan's number while that holds, or halves, then closes in; people come as many
    a second as in the plan, however many they are. `told` gets every trial's report.
    """
    best: dict[str, Any] | None = None
    low, high, people = 0, 0, plan.people
    while people > low and (not high or people < high):
        ramp = plan.ramp * people / plan.people
        report = await trial_run(replace(plan, people=people, ramp=ramp), pid=pid)
        told(report)
        if report["holds"]:
            best, low = report, people
        else:
            high = people
        if high and (high - low) * 10 <= high:
            break
        people = (low + high) // 2 if high and low else people * 2 if low else people // 2
    return best


def plot_write(samples: list[Sample], path: Path) -> None:
    """Memory and latency over time as a picture. Raises OSError."""
    from matplotlib.figure import Figure

    minutes = [sample["seconds"] / 60 for sample in samples]
    figure = Figure(figsize=(8, 5), layout="constrained")
    memory, latency = figure.subplots(2, 1, sharex=True)
    memory.plot(minutes, [sample["rss_mb"] for sample in samples])
    memory.set_ylabel("server memory, MiB")
    memory.set_ylim(bottom=0)
    latency.plot(minutes, [sample["first_token_p95_ms"] for sample in samples], label="first token")
    latency.plot(minutes, [sample["reply_p95_ms"] for sample in samples], label="whole reply")
    latency.set_ylabel("p95 of 10 s, ms")
    latency.set_xlabel("minutes")
    latency.set_ylim(bottom=0)
    latency.legend()
    figure.savefig(path, dpi=110)


@contextmanager
def samples_kept(samples: list[Sample], path: Path | None) -> Iterator[Callable[[Sample], None]]:
    """What takes samples in: into the list, and into a CSV file as they come, for a soak may be
    cut short."""
    if path is None:
        yield samples.append
        return
    with path.open("w", newline="") as file:

        def keep(sample: Sample) -> None:
            writer = csv.DictWriter(file, fieldnames=list(sample))
            if not samples:
                writer.writeheader()
            writer.writerow(sample)
            file.flush()
            samples.append(sample)

        yield keep


async def _watch(
    plan: Plan, tally: Tally, pid: int | None, sampled: Callable[[Sample], None]
) -> None:
    began, seen = time.perf_counter(), 0
    while True:
        await asyncio.sleep(min(_SAMPLE_SECONDS, plan.seconds / 4))
        first, reply = tally.first_token[seen:], tally.reply[seen:]
        seen = len(tally.reply)
        sampled(
            {
                "seconds": round(time.perf_counter() - began, 1),
                "rss_mb": (resident_mb(pid) if pid else None) or 0.0,
                "sent": tally.sent,
                "failed": tally.failed,
                "lost": tally.lost,
                "first_token_p95_ms": round(quantile(first, 0.95) * 1000, 1),
                "reply_p95_ms": round(quantile(reply, 0.95) * 1000, 1),
            }
        )


async def _watch_clock(late: list[float]) -> None:
    """How late this process gets to do what is due: what it adds to the times that it takes."""
    while True:
        due = time.perf_counter() + _CLOCK_SECONDS
        await asyncio.sleep(_CLOCK_SECONDS)
        late.append(time.perf_counter() - due)


async def _spent(plan: Plan, pid: int | None) -> dict[str, float | None]:
    tokens = await _tokens(plan.url)
    return {
        "moment": time.perf_counter(),
        "tokens": tokens,
        "server": cpu_seconds(pid) if pid else None,
        "generator": cpu_seconds(os.getpid()),
    }


def _costs(
    before: dict[str, float | None],
    after: dict[str, float | None],
    messages: int,
    late: list[float],
) -> dict[str, Any]:
    def grown(name: str) -> float | None:
        start, end = before[name], after[name]
        return None if start is None or end is None else end - start

    def share(name: str, of: float, digits: int, unit: float = 1.0) -> float | None:
        value = grown(name)
        return None if value is None or not of else round(value * unit / of, digits)

    seconds = grown("moment") or 0.0
    cores, lateness = share("generator", seconds, 2), quantile(late, 0.95)
    return {
        "seconds": round(seconds, 1),
        "messages_s": round(messages / seconds, 2) if seconds else 0.0,
        "tokens_s": share("tokens", seconds, 1),
        "server_cores": share("server", seconds, 2),
        "server_cpu_ms": share("server", messages, 1, 1000),
        "generator_cores": cores,
        "generator_late_ms": round(lateness * 1000, 1),
        "generator_is_late": (cores or 0.0) > BUSY_CORES or lateness > LATE_SECONDS,
    }


async def _tokens(url: str) -> float | None:
    """Tokens that the server has generated, if it shows its metrics."""
    timeout = aiohttp.ClientTimeout(total=10)
    with suppress(aiohttp.ClientError, TimeoutError):
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/metrics") as response,
        ):
            if found := _TOKENS.search(await response.text()):
                return float(found[1])
    return None
