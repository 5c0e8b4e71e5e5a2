"""What a process takes of the machine, and a process of its own for what must not share one."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
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


def memory_in_few_arenas() -> None:
    """Have the C library's threads share memory; nothing where it is not glibc.

    By default each of the first eight per core has an arena of its own, and keeps what it has freed
    there. Two that run the model by turns have as much of it again (25 MB). Source: mallopt(3).
    """
    arena_max = -8  # M_ARENA_MAX of glibc's malloc.h
    with suppress(AttributeError, OSError, TypeError):  # another C library, another system
        ctypes.CDLL(None).mallopt(arena_max, 2)


def memory_give_back() -> None:
    """Return to the system what the C library keeps of freed memory; nothing where it is not glibc.

    Takes some milliseconds, in which other Python threads run on. Source: malloc_trim(3).
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library, another system
        ctypes.CDLL(None).malloc_trim(0)


def mapped_file_let_go(path: Path) -> None:
    """Make what this process maps of a file, and has not written to, no longer resident.

    What is used again comes back from the page cache. Does nothing elsewhere than on Linux. Source:
    madvise(2), proc(5).
    """
    try:
        name, libc = str(path.resolve()), ctypes.CDLL(None)
        lines = Path("/proc/self/maps").read_text().splitlines()
    except (OSError, TypeError):
        return
    for line in lines:
        addresses, *_, mapped = line.split(maxsplit=5)
        if mapped == name:
            start, end = (int(address, 16) for address in addresses.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def call_apart(function: Callable[..., T], *args: Any) -> T:
    """Call a function in a fresh process: what it leaves in memory is not this one's, nor the
    reverse. Function, arguments, result and exceptions must be picklable."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
