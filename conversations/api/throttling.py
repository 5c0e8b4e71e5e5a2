"""How often programs may call the API. As elsewhere nobody is refused for want of Redis."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rest_framework.throttling import AnonRateThrottle, SimpleRateThrottle, UserRateThrottle

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


class _LetsThrough(SimpleRateThrottle):
    def allow_request(self, request: Request, view: APIView) -> bool:
        try:
            return super().allow_request(request, view)
        except RedisError:
            logger.exception("rate limits cannot be counted; a request is let through")
            return True


class AnonThrottle(_LetsThrough, AnonRateThrottle):
    """Of those who have no account, by address."""


class UserThrottle(_LetsThrough, UserRateThrottle):
    """Of accounts."""
