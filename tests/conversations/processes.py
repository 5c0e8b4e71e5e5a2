"""The program as its own process, for what only shows there: exit codes, pipes, terminals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from chatbot_site.env import BASE_DIR

_SETUP = """
import django; django.setup()
from django.core.management import call_command
from conversations.models import Persona
call_command("migrate", verbosity=0)
for name, lines in (
    ("Brenda", ["I drive a night bus.", "My cat hates boats."]),
    ("Otto", ["I sell hats.", "I am very tall."]),
):
    Persona.objects.create(
        name=name, lines=lines, color="#336699", emblem="x", source="test", digest=name
    )
"""


def environment(**variables: str) -> dict[str, str]:
    """None of the project's variables but these."""
    kept = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG"}}
    return {**kept, "DJANGO_SETTINGS_MODULE": "chatbot_site.settings", **variables}


def run(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Python in the project's directory with these variables of the project and no others."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=BASE_DIR,
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def database_make(path: Path) -> str:
    """A migrated SQLite database with two characters, numbers 1 and 2; its DATABASE_URL."""
    url = f"sqlite:///{path}"
    result = run("-c", _SETUP, DATABASE_URL=url)
    assert result.returncode == 0, result.stderr
    return url
