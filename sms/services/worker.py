"""The running server's and the command's common way of paying what is owed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import ClassVar
from uuid import UUID
from weakref import WeakKeyDictionary

from django.utils import timezone

from conversations.services.database import db_read, db_write
from sms import client
from sms.models import State
from sms.services.answers import answer_finish, answers_due
from sms.services.delivery import answer_deliver, answers_give_up, answers_look_up

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
# Each holds one connection to Twilio; Twilio queues texts itself at one a second and number.
AT_ONCE = 8


class Worker:
    """One event loop's deliveries. An answer is in one pair of hands here at a time; between
    processes the rows see to that."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Worker]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._in_hand: dict[UUID, asyncio.Task[State | None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._loop_task: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> Worker:
        """The worker of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls()
        return cls._of_loop[loop]

    def deliver(self, answer_id: UUID) -> asyncio.Task[State | None]:
        """Send an answer as soon as it is written, without anybody waiting for it."""
        task = self._in_hand.get(answer_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._deliver(answer_id))
            self._in_hand[answer_id] = task
            task.add_done_callback(lambda _: self._in_hand.pop(answer_id, None))
        return task

    async def settle_due(self) -> Counter[State]:
        """Send everything that is due, thread by thread in order. Returns how many answers ended
        in which state."""
        settled: Counter[State] = Counter()
        now = timezone.now()
        await db_write(answers_give_up, now=now)
        await answers_look_up(now=now)
        while due := await db_read(answers_due, now=timezone.now()):
            states = await asyncio.gather(*(self.deliver(answer_id) for answer_id in due))
            settled.update(state for state in states if state is not None)
            if not any(states):
                break
        return settled

    def start(self) -> None:
        """Go on sending what is due until the loop ends. Calling it again changes nothing."""
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = asyncio.get_running_loop().create_task(self._poll())

    async def _deliver(self, answer_id: UUID) -> State | None:
        try:
            await answer_finish(answer_id=answer_id)
            async with self._slots:
                return await answer_deliver(answer_id=answer_id)
        except Exception:  # the row still says what is owed; the next round tries again
            logger.exception("answer %s could not be delivered", answer_id)
            return None

    async def _poll(self) -> None:
        while True:
            if client.is_configured():
                try:
                    await self.settle_due()
                except Exception:  # the database may be away for a while
                    logger.exception("owed text messages could not be looked up")
            await asyncio.sleep(POLL_SECONDS)


def worker_start() -> None:
    """Let the server's event loop send what is owed, from its beginning on.

    Imported inside a running loop (most servers) that one; else daphne's, which begins later.
    """
    try:
        Worker.here().start()
    except RuntimeError:
        from twisted.internet import reactor

        reactor.callLater(0, lambda: Worker.here().start())  # type: ignore[arg-type]
