"""Files and directories that are written beside their place and renamed into it, so that a kill
leaves all of them or nothing. A directory that is replaced is moved away just before: a
kill between the two leaves it in a hidden directory beside its place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def whole_directory(out: Path, *, replace: bool = False) -> Iterator[Path]:
    """An empty directory that becomes `out` at the end; where it comes to nothing, nothing stays.

    Raises OSError, without `replace` also where `out` is there and not empty.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        fresh, replaced = Path(temporary) / "fresh", Path(temporary) / "replaced"
        fresh.mkdir()
        yield fresh
        if replace and out.exists():
            out.rename(replaced)
        try:
            fresh.rename(out)
        except OSError:
            if replaced.exists():
                replaced.rename(out)
            raise
        shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what becomes the file `path` at the end. Raises OSError."""
    fresh = path.with_name(f".{path.name}")
    yield fresh
    fresh.rename(path)
