"""Database work of asynchronous code, done in a few threads that keep their connections.

Opening a SQLite connection costs Django four times as much as a query does, so the threads keep
theirs; PostgreSQL's come from a pool and go back after each call. SQLite lets one connection write
at a time and makes others sleep and try again, so one thread does all the writing there is here, in
turn. A synchronous request writes in its own thread, and may have to sleep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import async_to_sync
from django.db import connection, connections

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4


async def db_read(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that reads the database."""
    return await _run(_readers(), partial(function, *args, **kwargs))


async def db_write(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that writes to the database."""
    return await _run(_writers(), partial(function, *args, **kwargs))


def db_now(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`db_write` for synchronous code; also where a loop runs that Django must not be called in."""
    return _writers().submit(_call, partial(function, *args, **kwargs)).result()


def db_release() -> None:
    """Give this thread's connection back to the pool, for a request that now waits for the model
    or streams: as many may do so at once as like to, and the pool is small. The next query takes
    another. A connection to SQLite stays open, as does one with a transaction."""
    for each in connections.all(initialized_only=True):
        if (each.vendor != "sqlite" or each.errors_occurred) and not each.in_atomic_block:
            each.close()


def db_wait(function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Wait in synchronous code for asynchronous work, without a connection meanwhile."""
    db_release()
    return async_to_sync(function)(*args, **kwargs)


async def _run(executor: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, _call, call)


def _call(call: Callable[[], T]) -> T:
    try:
        return call()
    finally:
        db_release()


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="database-read")


@cache
def _writers() -> ThreadPoolExecutor:
    threads = 1 if connection.vendor == "sqlite" else THREADS
    return ThreadPoolExecutor(threads, thread_name_prefix="database-write")
