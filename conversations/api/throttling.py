"""How often programs may call the API.

As elsewhere nobody is refused for want of Redis. One that does not answer is asked now and then.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rest_framework.throttling import AnonRateThrottle, SimpleRateThrottle, UserRateThrottle

from conversations.services.limits import PAUSE_SECONDS

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


class _LetsThrough(SimpleRateThrottle):
    rests_until = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        if time.monotonic() < _LetsThrough.rests_until:
            return True
        try:
            return super().allow_request(request, view)
        except RedisError:
            _LetsThrough.rests_until = time.monotonic() + PAUSE_SECONDS
            logger.exception("rate limits cannot be counted; requests are let through for a while")
            return True


class AnonThrottle(_LetsThrough, AnonRateThrottle):
    """Of those who have no account, by address."""


class UserThrottle(_LetsThrough, UserRateThrottle):
    """Of accounts."""
