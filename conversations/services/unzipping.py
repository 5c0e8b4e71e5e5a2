"""Files that may be gzipped."""

from __future__ import annotations

import gzip
import io
import zlib

Stream = io.BufferedReader | gzip.GzipFile
# What reading a file raises that is not there, not whole or damaged.
UNREADABLE = (OSError, EOFError, zlib.error)


def unzipped(file: io.BufferedReader) -> Stream:
    """What a file holds, from its beginning, whatever its name says. Close the file as well."""
    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if zipped else file
