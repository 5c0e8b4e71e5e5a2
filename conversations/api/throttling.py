"""How often programs may call the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.throttling import BaseThrottle

from conversations.services.limits import api_limit
from conversations.services.owners import Owner, client_address

if TYPE_CHECKING:  # the framework's views import this module
    from rest_framework.request import Request
    from rest_framework.views import APIView


class ApiThrottle(BaseThrottle):
    """Counts like every other limit, and says no in the same words."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Raises RateLimited."""
        owner = Owner(user=request.user if request.user.is_authenticated else None)
        api_limit(owner=owner, address=client_address(request._request))  # noqa: SLF001
        return True
