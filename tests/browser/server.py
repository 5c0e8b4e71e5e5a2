"""The real site in a process of its own: daphne, SQLite in a file, the default bundle."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from chatbot_site.env import BASE_DIR

CHARACTERS = 40


class ChatServer:
    """A site that can be killed and started again on the same address and database."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.log = directory / "server.log"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
            "PORT": str(self.port),
            "PUBLIC_URL": "",
            "REDIS_URL": "",
            "DEBUG": "false",
            "CHATBOT_CONVERSATION_RATE": "1000/hour",
            "CHATBOT_MESSAGE_RATE": "1000/minute",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def manage(self, *arguments: str) -> None:
        """Run a management command of this site."""
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=BASE_DIR, env=self.env, check=True, stdout=subprocess.DEVNULL)

    def prepare(self) -> None:
        self.manage("migrate")
        self.manage("load_personas", "--count", str(CHARACTERS))

    def start(self, *command: str) -> None:
        """Start it and wait until it is ready; `manage.py serve` unless told otherwise."""
        command = command or ("manage.py", "serve")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command], cwd=BASE_DIR, env=self.env, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def restart(self) -> None:
        self.start("-m", "daphne", "-p", str(self.port), "chatbot_site.asgi:application")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in good order, and look whether it had anything to complain about."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None
        complaints = re.findall(r"^.*(?:Traceback|ERROR|CRITICAL).*$", self.log.read_text(), re.M)
        assert not complaints, self.log.read_text()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except httpx.HTTPError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
