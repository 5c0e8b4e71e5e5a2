"""Static files are collected and compressed again only when one of them has changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

STAMP = ".collected"
# What `collectstatic` leaves out by default.
IGNORED = ["CVS", ".*", "*~"]


def static_files_collect() -> bool:
    """Run `collectstatic` where what it collects differs from the last time; True when it ran."""
    stamp = Path(settings.STATIC_ROOT) / STAMP
    found = _fingerprint()
    if stamp.is_file() and stamp.read_text() == found:
        return False
    stamp.unlink(missing_ok=True)
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(found)
    return True


def _fingerprint() -> str:
    """Names, sizes and times of change of all sources, and how they are stored, as a digest."""
    digest = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for name, storage in finder.list(IGNORED):
            facts = Path(storage.path(name)).stat()
            digest.update(f"{name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()
