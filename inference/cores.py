"""How many cores, and how much memory, this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Whole cores by CPU affinity and by the quota of the process's control groups; at least 1.

    A quota of a group is also one for those below it. Rounded down, because threads that use up a
    quota before its period is over stand still for the rest of it. Source: the kernel's
    documentation of cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us, cpu.cfs_period_us).
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quotas = [quota for group in _groups(root, "cpu") if (quota := _quota(group))]
    return max(1, int(min([cores, *quotas])))


def usable_memory_mb(root: Path = Path("/")) -> int | None:
    """The machine's memory in MiB, or the lowest limit of the process's control groups.

    None where neither can be seen. Source: memory.max of cgroup v2, memory.limit_in_bytes of v1.
    """
    try:
        total = int((root / "proc/meminfo").read_text().split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    groups = _groups(root, "memory")
    limits = [limit for group in groups if (limit := _memory_limit(group))]
    return min([total, *limits]) // 2**20


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The directories of the process's groups and of all above them, one controller's only.

    Inside a container the path that the kernel names may not be there; its root then is the group.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base = mount
        elif controller in controllers.split(","):
            base = mount / controllers if (mount / controllers).is_dir() else mount / controller
        else:
            continue
        group = base / path.strip("/")
        yield group
        yield from (parent for parent in group.parents if parent.is_relative_to(base))


def _quota(group: Path) -> float | None:
    """Cores that a group may use; None without a limit."""
    return _number_pair(group / "cpu.max") or _number_pair(
        group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us"
    )


def _number_pair(*files: Path) -> float | None:
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _memory_limit(group: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such file, or "max"
            return int((group / name).read_text())
    return None
