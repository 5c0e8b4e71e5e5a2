"""The cores and the memory that a process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inference.cores import usable_cores, usable_memory_mb

CORES = len(os.sched_getaffinity(0))


def machine(root: Path, groups: str, **files: str) -> Path:
    """A root directory whose kernel reports these groups and limits."""
    contents = {"proc/self/cgroup": groups} | {
        f"sys/fs/cgroup/{name.replace('__', '/')}": text for name, text in files.items()
    }
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/app\n", {"app__cpu.max": "150000 100000"}),
        ("0::/app/web\n", {"app__cpu.max": "100000 100000", "app__web__cpu.max": "max 100000"}),
        ("0::/not/seen/inside\n", {"cpu.max": "100000 100000"}),
        (
            "4:cpu,cpuacct:/app\n0::/\n",
            {
                "cpu,cpuacct__app__cpu.cfs_quota_us": "199999",
                "cpu,cpuacct__app__cpu.cfs_period_us": "100000",
            },
        ),
        ("1:cpu:/app\n", {"cpu__cpu.cfs_quota_us": "5000", "cpu__cpu.cfs_period_us": "100000"}),
    ],
)
def test_a_quota_limits_the_cores(tmp_path: Path, groups: str, files: dict[str, str]) -> None:
    assert usable_cores(machine(tmp_path, groups, **files)) == 1


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/app\n", {"app__cpu.max": "max 100000"}),
        ("0::/\n", {}),
        (
            "1:cpu:/\n",
            {"cpu__cpu.cfs_quota_us": "-1", "cpu__cpu.cfs_period_us": "100000"},
        ),
        ("0::/app\n", {"app__cpu.max": "99900000 100000"}),
    ],
)
def test_without_a_quota_all_cores_are_used(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    assert usable_cores(machine(tmp_path, groups, **files)) == CORES


def test_where_there_are_no_control_groups(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == CORES
    assert 1 <= usable_cores() <= CORES


MEMINFO = "MemTotal:        8388608 kB\nMemFree:         4194304 kB\n"


@pytest.mark.parametrize(
    ("groups", "files", "megabytes"),
    [
        ("0::/app\n", {"app__memory.max": "1073741824\n"}, 1024),
        ("0::/app\n", {"app__memory.max": "max\n", "memory.max": "2147483648\n"}, 2048),
        ("3:memory:/app\n", {"memory__app__memory.limit_in_bytes": "536870912\n"}, 512),
        ("3:memory:/\n", {"memory__memory.limit_in_bytes": "9223372036854771712\n"}, 8192),
        ("0::/\n", {}, 8192),
    ],
)
def test_memory_is_the_machines_or_the_groups(
    tmp_path: Path, groups: str, files: dict[str, str], megabytes: int
) -> None:
    root = machine(tmp_path, groups, **files)
    (root / "proc/meminfo").write_text(MEMINFO)
    assert usable_memory_mb(root) == megabytes


def test_where_memory_cannot_be_seen(tmp_path: Path) -> None:
    assert usable_memory_mb(tmp_path) is None
