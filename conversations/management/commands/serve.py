"""`manage.py serve`: bring the database and static files up to date, then serve the site."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from conversations.checks import SETTINGS
from conversations.models import Persona
from conversations.services.static_files import static_files_collect

# Up to here a frame that is too large is answered; a larger one closes the socket.
WEBSOCKET_BYTES = 2 * 1024 * 1024


class Command(BaseCommand):
    help = (
        "Serves the site with daphne on CHATBOT_HOST and PORT (127.0.0.1:8000 when not set). "
        "First applies migrations, loads the built-in characters into an empty database and "
        "collects static files. Ctrl-C stops it."
    )
    # The others take a while and look at what is looked at below, or as the server starts.
    requires_system_checks = (SETTINGS, Tags.security)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except Error as error:
            reason = str(error).strip().splitlines()[0]
            raise CommandError(f"The database cannot be used: {reason}") from error
        if not Persona.objects.exists():
            call_command("load_personas")
        if not settings.DEBUG:
            self._collect_static_files()
        host, port = settings.ENV.host, settings.ENV.port
        _try_to_listen(host, port)
        shown = "localhost" if host == "127.0.0.1" else f"[{host}]" if ":" in host else host
        address = settings.PUBLIC_URL or f"http://{shown}:{port}"
        self.stdout.write(f"Serving {address}/ (Ctrl-C stops)")
        self.stdout.flush()
        # A fresh process: what the steps above needed does not stay in the server's memory.
        daphne = ["-m", "daphne", "-b", host, "-p", str(port), "--no-server-name", "-v", "0"]
        for limit in ("message", "frame"):
            daphne += [f"--websocket-max-{limit}-size", str(WEBSOCKET_BYTES)]
        os.execv(sys.executable, [sys.executable, *daphne, "chatbot_site.asgi:application"])  # noqa: S606

    def _collect_static_files(self) -> None:
        try:
            static_files_collect()
        except OSError as error:
            raise CommandError(
                f"Static files cannot be kept in {settings.STATIC_ROOT}: {error.strerror}."
            ) from error


def _try_to_listen(host: str, port: int) -> None:
    """Raises CommandError where the server would find out only after it has said that it serves."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise CommandError(
            f"Nobody can listen on port {port} of {host}: {error.strerror}. PORT sets another "
            "port, CHATBOT_HOST another address."
        ) from error
