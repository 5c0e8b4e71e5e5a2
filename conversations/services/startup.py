"""The beginning and the end of a server process."""

from __future__ import annotations

import atexit
import gc
import logging
import sys
from threading import Event, Thread
from typing import NoReturn

from django.conf import settings
from django.db import Error

from conversations.models import Message
from conversations.services.database import db_now
from conversations.services.engine import engine, engine_loader
from conversations.services.limits import limiter
from conversations.services.replies import replies_interrupt, replies_recover
from inference.bundle import load_bundle
from inference.errors import BundleError

logger = logging.getLogger(__name__)

_stopped = Event()


def server_start() -> None:
    """Check what the server cannot do without, clean up after a crash, begin to load the model.

    Ends the process with one line on standard error and status 1 when the bundle is missing or
    damaged or the database cannot be read.
    """
    try:
        load_bundle(settings.ENV.bundle)
    except BundleError as error:
        _refuse(f"The model cannot be served: {error}")
    try:
        db_now(Message.objects.exists)
    except Error as error:
        _refuse(f"The database is not ready ({error}); run `manage.py migrate`.")
    if settings.ENV.device == "cuda":  # asked for by name: nothing else will do
        try:
            engine().load()
        except BundleError as error:
            _refuse(f"The model cannot be served: {error}")
    _recover()
    if settings.ENV.redis_url:
        Thread(target=_recover_again, name="recover", daemon=True).start()
    # Both make what threads would make one each of, if they asked for it first and together.
    limiter()
    engine_loader.state()  # begins to load
    atexit.register(server_stop)
    # All that has been imported stays; collections need not look at it again and again. Nor so
    # often at what comes and goes with every message: that took a twentieth of a busy server.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def server_stop() -> None:
    """Store what is being written as interrupted, then let go of the model.

    Runs after the event loop has ended, whichever server ran it.
    """
    _stopped.set()
    try:
        replies_interrupt()
    except Error:
        logger.exception("running replies cannot be stored as interrupted")
    engine().close()


def _recover() -> None:
    try:
        if recovered := db_now(replies_recover):
            logger.warning("%s replies of a process that ended are marked interrupted", recovered)
    except Error:
        logger.exception("unfinished replies cannot be marked interrupted")


def _recover_again() -> None:
    """Beside other processes it takes time until it is certain that one has ended."""
    while not _stopped.wait(settings.ENV.reply_timeout):
        _recover()


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"{reason}\n")
    sys.exit(1)
