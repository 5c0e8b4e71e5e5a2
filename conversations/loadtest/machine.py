"""A server's process and its processor time, from Linux's /proc (proc(5)); elsewhere unknown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

_PROC = Path("/proc")
_LISTENING = "0A"


def server_find(url: str) -> int | None:
    """The process that listens on the URL's port of this machine, if it can be seen."""
    place = urlsplit(url)
    if place.hostname not in {"127.0.0.1", "localhost", "::1"}:
        return None
    port = f":{place.port or 80:04X}"
    inodes = {inode for address, inode in _listeners() if address.endswith(port)}
    for process in _PROC.glob("[0-9]*"):
        try:
            if any(str(link.readlink())[8:-1] in inodes for link in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:  # it has ended, or is somebody else's
            continue
    return None


def _listeners() -> Iterator[tuple[str, str]]:
    for table in (_PROC / "net/tcp", _PROC / "net/tcp6"):
        if table.exists():
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING:
                    yield fields[1], fields[9]


def cpu_seconds(pid: int) -> float | None:
    """Processor time so far, user and system."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
