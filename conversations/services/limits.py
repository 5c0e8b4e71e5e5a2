"""How often one person, and one address, may do things that cost something.

Counted in memory, or in Redis when there are several processes (`REDIS_URL`).
"""

from __future__ import annotations

import logging
import math
import time
from functools import cache
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from conversations.services.errors import RateLimited
from conversations.services.owners import Owner

logger = logging.getLogger(__name__)

# Many people share one address behind a company's or a mobile carrier's gateway.
PEOPLE_PER_ADDRESS = 20


def message_limit(*, owner: Owner, address: str) -> None:
    """Count one message; raises RateLimited when it is one too many (`CHATBOT_MESSAGE_RATE`)."""
    _count("message", settings.ENV.message_rate, owner, address)


def conversation_limit(*, owner: Owner, address: str) -> None:
    """Count one new conversation; raises RateLimited (`CHATBOT_CONVERSATION_RATE`)."""
    _count("conversation", settings.ENV.conversation_rate, owner, address)


def _count(action: str, rate: str, owner: Owner, address: str) -> None:
    for limit in parse_many(rate):
        if owner.rate_key:
            _hit(limit, action, owner.rate_key)
        if network := _network(address):
            shared = type(limit)(limit.amount * PEOPLE_PER_ADDRESS, limit.multiples)
            _hit(shared, action, network)


def _hit(limit: RateLimitItem, action: str, key: str) -> None:
    try:
        if _limiter().hit(limit, action, key):
            return
        reset_at = _limiter().get_window_stats(limit, action, key).reset_time
    except (RedisError, StorageError):
        # Better a chat without limits for a while than none.
        logger.exception("rate limits cannot be counted; %s let through", action)
        return
    wait = max(1, math.ceil(reset_at - time.time()))
    what = "messages" if action == "message" else "new conversations"
    raise RateLimited(
        f"That was a lot of {what} in a short time. Please wait {wait} "
        f"second{'' if wait == 1 else 's'}.",
        retry_after=wait,
    )


def _network(address: str) -> str:
    """What stands for one household: an IPv4 address, the first half of an IPv6 one.

    This machine's own addresses say nothing about who is calling: a proxy is, or its owner.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    if parsed.is_loopback:
        return ""
    return str(parsed) if parsed.version == 4 else f"{int(parsed) >> 64:x}"


@cache
def _limiter() -> MovingWindowRateLimiter:
    storage = storage_from_string(settings.ENV.redis_url or "memory://")
    assert isinstance(storage, Storage)  # noqa: S101 - the asynchronous ones have other schemes
    return MovingWindowRateLimiter(storage)
