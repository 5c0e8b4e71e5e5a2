"""One process at a time in a directory that grows for hours."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.config import cannot_write
from training.errors import RunError

LOCK_FILE = ".lock"


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """The directory, which is made where there is none, without another process that works there.
    Raises RunError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / LOCK_FILE).open("w")
    except OSError as error:
        raise cannot_write(out, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"{out}: another process is at work here; stop it, or choose another --out."
            ) from error
        yield
