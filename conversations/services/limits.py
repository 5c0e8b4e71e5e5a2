"""How often one person, and one address, may do things that cost something.

Counted in memory, or in Redis when there are several processes (`REDIS_URL`).
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Lock

from django.conf import settings
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from conversations.services.errors import RateLimited
from conversations.services.owners import Owner

logger = logging.getLogger(__name__)

# So long a message waits for a Redis that does not answer; then nobody asks it for a while, lest
# each message waits in turn.
REDIS_SECONDS = 1.0
PAUSE_SECONDS = 5.0
# How often windows in which nothing is left are forgotten.
SWEEP_SECONDS = 60.0
# Many people share one address behind a company's or a mobile carrier's gateway.
PEOPLE_PER_ADDRESS = 20
# Requests of programs: with an account, and of one address without any.
API_RATE = "600/minute"
API_RATE_UNKNOWN = "60/minute"
_WHAT = {
    "message": "messages",
    "conversation": "new conversations",
    "sign-in": "attempts to sign in",
    "api": "requests",
}


def message_limit(*, owner: Owner, address: str) -> None:
    """Count one message; raises RateLimited when it is one too many (`CHATBOT_MESSAGE_RATE`)."""
    _count("message", settings.ENV.message_rate, owner, address)


def conversation_limit(*, owner: Owner, address: str) -> None:
    """Count one new conversation; raises RateLimited (`CHATBOT_CONVERSATION_RATE`)."""
    _count("conversation", settings.ENV.conversation_rate, owner, address)


def sign_in_limit(*, name: str, address: str) -> None:
    """Count one attempt to sign in; raises RateLimited (`CHATBOT_SIGN_IN_RATE`).

    Unlike above one address gets as many as the setting says, whatever names it tries, and a name
    more: a stranger should neither guess a password nor lock somebody out.
    """
    for limit in _limits(settings.ENV.sign_in_rate):
        if network := _network(address):
            _hit(limit, "sign-in", network)
        _hit(_shared(limit), "sign-in", f"name:{name.casefold()}")


def api_limit(*, owner: Owner, address: str) -> None:
    """Count one request of a program; raises RateLimited when it is one too many."""
    key = owner.rate_key or _network(address)
    for limit in _limits(API_RATE if owner.rate_key else API_RATE_UNKNOWN):
        if key:
            _hit(limit, "api", key)


def _count(action: str, rate: str, owner: Owner, address: str) -> None:
    for limit in _limits(rate):
        if owner.rate_key:
            _hit(limit, action, owner.rate_key)
        if network := _network(address):
            _hit(_shared(limit), action, network)


def _shared(limit: RateLimitItem) -> RateLimitItem:
    return type(limit)(limit.amount * PEOPLE_PER_ADDRESS, limit.multiples)


@cache
def _limits(rate: str) -> list[RateLimitItem]:
    return parse_many(rate)


def _hit(limit: RateLimitItem, action: str, key: str) -> None:
    counts = limiter()
    if time.monotonic() < counts.rests_until:
        return
    try:
        if counts.hit(limit, action, key):
            return
        reset_at = counts.get_window_stats(limit, action, key).reset_time
    except StorageError:
        # Better a chat without limits for a while than none.
        counts.rests_until = time.monotonic() + PAUSE_SECONDS
        logger.exception("rate limits cannot be counted; %s let through", action)
        return
    wait = max(1, math.ceil(reset_at - time.time()))
    raise RateLimited(
        f"That was a lot of {_WHAT[action]} in a short time. Please wait {_span(wait)}.",
        retry_after=wait,
    )


def _span(seconds: int) -> str:
    """So long, as one says it."""
    number, unit = (seconds, "second") if seconds < 100 else (math.ceil(seconds / 60), "minute")
    return f"{number} {unit}{'' if number == 1 else 's'}"


def address_parsed(address: str) -> IPv4Address | IPv6Address | None:
    """An IPv4 address also where it is written as an IPv6 one; None where it is neither."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return (isinstance(parsed, IPv6Address) and parsed.ipv4_mapped) or parsed


def _network(address: str) -> str:
    """What stands for one household: an IPv4 address, the first half of an IPv6 one.

    This machine's own addresses say nothing about who is calling: a proxy is, or its owner.
    """
    parsed = address_parsed(address)
    if parsed is None or parsed.is_loopback:
        return ""
    return str(parsed) if parsed.version == 4 else f"{int(parsed) >> 64:x}"


class Limiter(MovingWindowRateLimiter):
    """Counts, but not until the moment (`time.monotonic`) that it rests until."""

    rests_until = 0.0


@cache
def limiter() -> Limiter:
    """The process's one, counting in memory or in Redis, which this does not connect to."""
    url = settings.ENV.redis_url
    if not url:
        return Limiter(QuietMemory())
    storage = storage_from_string(
        f"redis+{url}" if url.startswith("unix:") else url,
        wrap_exceptions=True,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
    )
    assert isinstance(storage, Storage)  # noqa: S101 - the asynchronous ones have other schemes
    return Limiter(storage)


class QuietMemory(MemoryStorage):
    """Moving windows in memory, each a queue of moments that is swept when it is used.

    The library's own starts a thread at nearly every message, and that looks at everything counted
    so far: with hundreds of people a tenth of what a message costs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._windows: dict[str, tuple[float, deque[float]]] = {}
        self._sweep_at = 0.0

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        with self._lock:
            now = time.time()
            if now >= self._sweep_at:
                self._sweep(now)
            moments = self._windows.setdefault(key, (expiry, deque()))[1]
            _drop_until(moments, now - expiry)
            if len(moments) + amount > limit:
                return False
            moments.extend([now] * amount)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        with self._lock:
            now = time.time()
            moments = self._windows.get(key, (expiry, deque[float]()))[1]
            _drop_until(moments, now - expiry)
            return (moments[0] if moments else now), len(moments)

    def _sweep(self, now: float) -> None:
        self._sweep_at = now + SWEEP_SECONDS
        for key, (expiry, moments) in list(self._windows.items()):
            _drop_until(moments, now - expiry)
            if not moments:
                del self._windows[key]


def _drop_until(moments: deque[float], start: float) -> None:
    while moments and moments[0] < start:
        moments.popleft()
