"""One trial, a search for the most people, and a soak's record."""

from __future__ import annotations

import asyncio
import csv
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from conversations.loadtest.machine import cpu_seconds
from conversations.loadtest.people import Crowd
from conversations.loadtest.plan import Plan, Tally, quantile
from inference.process import resident_mb

_SAMPLE_SECONDS = 10.0
_TOKENS = re.compile(r"^chatbot_tokens_generated_total (\S+)", re.MULTILINE)

Sample = dict[str, float]


async def trial_run(
    plan: Plan, *, pid: int | None = None, sampled: Callable[[Sample], None] | None = None
) -> dict[str, Any]:
    """Play a plan; the report. `pid` is the server's; `sampled` is called every ten seconds."""
    tally = Tally()
    watcher = asyncio.create_task(_watch(tally, pid, sampled)) if sampled else None
    before: dict[str, float | None] = {}
    starting = asyncio.create_task(_begin(plan, pid, before))
    try:
        await Crowd(plan, tally).play()
        await starting
        report = tally.report()
        return {"people": plan.people, **report, **await _costs(plan, pid, before)}
    finally:
        starting.cancel()
        if watcher:
            watcher.cancel()


async def trial_search(
    plan: Plan, *, pid: int | None = None, told: Callable[[dict[str, Any]], None]
) -> dict[str, Any] | None:
    """The report of the largest crowd that the server holds, to within a tenth; None if none.

    Doubles from the plan's number while that holds, or halves, then closes in. `told` gets every
    trial's report.
    """
    best: dict[str, Any] | None = None
    low, high, people = 0, 0, plan.people
    while people > low and (not high or people < high):
        report = await trial_run(replace(plan, people=people), pid=pid)
        told(report)
        if report["holds"]:
            best, low = report, people
        else:
            high = people
        if high and (high - low) * 10 <= high:
            break
        people = (low + high) // 2 if high and low else people * 2 if low else people // 2
    return best


def plot_write(samples: list[Sample], path: Path) -> bool:
    """Memory and latency over time as a picture; False when matplotlib is not installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    minutes = [sample["seconds"] / 60 for sample in samples]
    figure, (memory, latency) = plt.subplots(2, 1, sharex=True, figsize=(8, 5))
    memory.plot(minutes, [sample["rss_mb"] for sample in samples])
    memory.set_ylabel("server memory, MiB")
    memory.set_ylim(bottom=0)
    latency.plot(minutes, [sample["first_token_p95_ms"] for sample in samples], label="first token")
    latency.plot(minutes, [sample["reply_p95_ms"] for sample in samples], label="whole reply")
    latency.set_ylabel("p95 of 10 s, ms")
    latency.set_xlabel("minutes")
    latency.set_ylim(bottom=0)
    latency.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def samples_write(samples: list[Sample], path: Path) -> None:
    """The samples as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(samples[0]) if samples else [])
        writer.writeheader()
        writer.writerows(samples)


async def _watch(tally: Tally, pid: int | None, sampled: Callable[[Sample], None]) -> None:
    began, seen = time.perf_counter(), 0
    while True:
        await asyncio.sleep(_SAMPLE_SECONDS)
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


async def _begin(plan: Plan, pid: int | None, before: dict[str, float | None]) -> None:
    await asyncio.sleep(plan.ramp)
    before.update(await _spent(plan, pid))


async def _spent(plan: Plan, pid: int | None) -> dict[str, float | None]:
    return {
        "moment": time.perf_counter(),
        "server_cpu": cpu_seconds(pid) if pid else None,
        "own_cpu": cpu_seconds(os.getpid()),
        "tokens": await _tokens(plan.url),
    }


async def _costs(plan: Plan, pid: int | None, before: dict[str, float | None]) -> dict[str, Any]:
    after = await _spent(plan, pid)
    seconds = (after["moment"] or 0.0) - (before["moment"] or 0.0)

    def rate(name: str, digits: int) -> float | None:
        start, end = before[name], after[name]
        return None if start is None or end is None else round((end - start) / seconds, digits)

    return {
        "tokens_s": rate("tokens", 1),
        "server_cores": rate("server_cpu", 2),
        "generator_cores": rate("own_cpu", 2),
        "server_rss_mb": resident_mb(pid) if pid else None,
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
