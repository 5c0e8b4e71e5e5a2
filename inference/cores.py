"""How many cores this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
    quotas = [quota for group in _groups(root) if (quota := _quota(group))]
    return max(1, int(min([cores, *quotas])))


def _groups(root: Path) -> Iterator[Path]:
    """The directories of the process's groups and of all above them, the CPU controller's only.

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
        elif "cpu" in controllers.split(","):
            base = mount / controllers if (mount / controllers).is_dir() else mount / "cpu"
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
