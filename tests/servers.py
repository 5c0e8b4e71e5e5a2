"""Real servers for tests: daphne with a database of its own, and Redis."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0

_MAKE_DATABASE = """
import django
django.setup()
from django.core.management import call_command
from conversations.models import Persona
call_command("migrate", verbosity=0)
for name, lines in {
    "Brenda": ["I drive a night bus.", "My cat hates boats."],
    "Otto": ["I bake bread before dawn.", "I have never seen snow."],
    "Mina": ["I repair old radios.", "My sister is a sailor."],
}.items():
    Persona.objects.create(
        name=name, lines=lines, color="#336699", emblem="🚌", source="test", digest=name
    )
"""


def environment(database: Path, **variables: str) -> dict[str, str]:
    """What a process of the site needs; nothing of the developer's own settings."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "chatbot_site.settings",
        "DATABASE_URL": f"sqlite:///{database}",
        "SECRET_KEY": "a key for tests only, known to everybody",
        "PYTHONUNBUFFERED": "1",
        **variables,
    }


def make_database(path: Path) -> Path:
    """A migrated SQLite database with three characters."""
    subprocess.run(
        [sys.executable, "-c", _MAKE_DATABASE], check=True, cwd=ROOT, env=environment(path)
    )
    return path


class Server:
    """One daphne on a free port of this machine, the same after a restart; `start` returns when
    it listens.

    Keeps its log in `log`. The database is copied from `template` unless it exists already.
    """

    APPLICATION = "chatbot_site.asgi:application"

    def __init__(self, database: Path, template: Path | None = None, **variables: str) -> None:
        self.database = database
        self.variables = variables
        self.log: list[str] = []
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread()
        if template and not database.exists():
            shutil.copy(template, database)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> Self:
        # The socket is open before the server is there to read from it, so nobody else gets the
        # port, and whoever connects meanwhile waits.
        with socket.create_server(("127.0.0.1", self.port), backlog=128) as listener:
            self.port = listener.getsockname()[1]
            daphne = ["-m", "daphne", "--fd", str(listener.fileno()), "--no-server-name", "-v", "0"]
            self.process = subprocess.Popen(
                [sys.executable, *daphne, self.APPLICATION],
                cwd=ROOT,
                env=environment(self.database, **self.variables),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                text=True,
            )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            httpx.get(f"{self.url}/healthz", timeout=START_SECONDS).raise_for_status()
        except httpx.HTTPError as error:
            self.kill()
            raise RuntimeError("the server did not start:\n" + "".join(self.log)) from error
        return self

    def _read_log(self) -> None:
        assert self.process
        assert self.process.stderr
        with self.process.stderr as lines:
            self.log.extend(lines)

    def stop(self) -> int:
        """End it as an operator does; returns its exit status."""
        return self._signal(signal.SIGTERM)

    def kill(self) -> int:
        """End it without a chance to clean up."""
        return self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> int:
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        self._reader.join(30)
        return status

    def ensure_started(self) -> Self:
        """Start it, unless it is running."""
        return self if self.process and self.process.poll() is None else self.start()

    def __enter__(self) -> Self:
        return self.ensure_started()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def visit(self) -> tuple[str, str]:
        """Come as a new browser: the conversation it is given, and its Cookie header."""
        response = httpx.get(self.url, follow_redirects=False)
        assert response.status_code == 302, response.text
        cookie = "; ".join(f"{name}={value}" for name, value in response.cookies.items())
        return response.headers["location"].strip("/").rsplit("/", 1)[1], cookie


class SlowServer(Server):
    """A server whose replies go on until somebody stops them."""

    APPLICATION = "tests.slow_server:application"


@contextmanager
def redis_server(directory: Path, port: int | None = None) -> Iterator[str]:
    """A Redis of our own, in memory only; yields its URL."""
    port = port or free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    process = subprocess.Popen(
        ["redis-server", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout
        for line in process.stdout:
            if "Ready to accept connections" in line:
                break
        else:
            raise RuntimeError(f"Redis did not start on port {port}")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.communicate(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
