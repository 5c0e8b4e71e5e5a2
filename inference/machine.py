"""What a machine is, and how fast its memory can be read."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np

from inference.cores import usable_cores

# Much more than any last-level cache holds.
BANDWIDTH_BYTES = 512 * 2**20


def machine() -> str:
    """The processor's name and how many of its cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.processor() or platform.machine())}, {usable_cores()} cores"


def memory_bandwidth(threads: int) -> float:
    """Bytes per second that so many threads read from memory together, best of ten.

    Each finds the largest of its part of an array of int32, which vectorised takes less time than
    memory gives.
    """
    values = np.ones(BANDWIDTH_BYTES // 4, np.int32)
    parts = np.array_split(values, threads)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(10):
            began = perf_counter()
            list(pool.map(np.max, parts))
            best = max(best, values.nbytes / (perf_counter() - began))
    return best
