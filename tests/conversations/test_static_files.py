"""What a start does about static files: collect them once, and again when one changes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from conversations.services.static_files import static_files_collect


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Path:
    """A site with one static file, which is returned."""
    file = tmp_path / "source" / "robots.txt"
    file.parent.mkdir()
    file.write_text("User-agent: *\n")
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATICFILES_DIRS = [file.parent]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    return file


def test_files_are_collected_once(source: Path, tmp_path: Path) -> None:
    assert static_files_collect()
    assert (tmp_path / "static" / "robots.txt").read_text() == source.read_text()
    assert not static_files_collect()


def test_a_changed_file_is_collected_again(source: Path, tmp_path: Path) -> None:
    static_files_collect()
    source.write_text("User-agent: *\nDisallow: /admin/\n")
    later = time.time() + 10  # collectstatic compares whole seconds
    os.utime(source, (later, later))
    assert static_files_collect()
    assert "Disallow" in (tmp_path / "static" / "robots.txt").read_text()


def test_a_collection_that_was_removed_is_made_again(source: Path, tmp_path: Path) -> None:
    static_files_collect()
    for file in (tmp_path / "static").rglob("*"):
        file.unlink()
    assert static_files_collect()
