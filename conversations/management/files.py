"""Files of dialogues that commands write."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TextIO


@contextmanager
def new_file(path: Path, *, zipped: bool) -> Iterator[TextIO]:
    """A file that takes its name only once it is whole."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
        try:
            with _text(draft, zipped) as text:
                yield text
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


@contextmanager
def standard_output(*, zipped: bool) -> Iterator[TextIO]:
    """The standard output as such a file."""
    if not zipped:
        yield sys.stdout
        sys.stdout.flush()
        return
    with _text(sys.stdout.buffer, zipped) as text:
        yield text


@contextmanager
def _text(stream: Any, zipped: bool) -> Iterator[TextIO]:
    # No time and no name in the header: the same dialogues make the same bytes.
    binary = gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) if zipped else stream
    text = io.TextIOWrapper(binary, encoding="utf-8", newline="\n")
    try:
        yield text
        text.flush()
    finally:
        text.detach()
        if zipped:
            binary.close()
        stream.flush()
