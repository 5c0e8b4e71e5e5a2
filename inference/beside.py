"""A second thread for what can be done while the batch is decoded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class SideThread(Generic[T]):
    """Does one thing after the other, and tells `done` after each; what they raise is in their
    futures."""

    def __init__(self, name: str, done: Callable[[], None]) -> None:
        self._done = done
        self._asked: SimpleQueue[tuple[Callable[[], T], Future[T]] | None] = SimpleQueue()
        # No executor: those refuse work as soon as the interpreter begins to end, before whoever
        # gives it has heard of that.
        self._thread = Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def run(self, function: Callable[[], T]) -> Future[T]:
        """Call a function when those before it have ended."""
        future: Future[T] = Future()
        self._asked.put((function, future))
        return future

    @staticmethod
    def ran(function: Callable[[], T]) -> Future[T]:
        """The same, done by the caller's thread before this returns. Raises what that raises."""
        future: Future[T] = Future()
        future.set_result(function())
        return future

    def close(self) -> None:
        """End when all that was asked for is done, and wait for that."""
        self._asked.put(None)
        self._thread.join()

    def _live(self) -> None:
        while asked := self._asked.get():
            function, future = asked
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
                future.set_exception(error)
            self._done()
