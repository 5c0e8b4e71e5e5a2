"""What an ASGI server runs: `daphne chatbot_site.asgi:application`.

Importing it starts the server's part of the program; everything else imports `routing`.
"""

from __future__ import annotations

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_site.settings")
django.setup()

from django.db import connection  # noqa: E402 - needs Django's set-up above

if connection.vendor != "postgresql":
    # The REST framework loads whatever it may come to use: fields that only PostgreSQL has, with
    # its driver, take 9 MB.
    sys.modules["django.contrib.postgres"] = None  # type: ignore[assignment]

from chatbot_site.routing import application  # noqa: E402
from conversations.services.startup import server_start  # noqa: E402
from sms.services.worker import worker_start  # noqa: E402

__all__ = ["application"]

# daphne has no lifespan events, so this is the moment before it listens.
server_start()
worker_start()
