"""What a process takes of the machine, and a process of its own for what must not share one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def resident_mb(pid: int) -> float | None:
    """Resident memory in MiB, from Linux's /proc (proc(5)); None where it cannot be seen."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def call_apart(function: Callable[..., T], *args: Any) -> T:
    """Call a function in a fresh process: what it leaves in memory is not this one's, nor the
    reverse. Function, arguments, result and exceptions must be picklable."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
