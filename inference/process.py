"""What a process takes of the machine, from Linux's /proc (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mb(pid: int) -> float | None:
    """Resident memory in MiB; None where it cannot be seen."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
