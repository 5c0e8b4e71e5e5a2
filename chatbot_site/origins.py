"""Which web pages may open a websocket: the site's own, as with a form that is posted to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain

Application = Callable[..., Awaitable[None]]

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


class OriginCheck:
    """ASGI middleware that refuses websockets of foreign pages.

    Cookies go along with a websocket that any page on the web opens, so the browser's `Origin`
    decides. It must name the host and port that the request was sent to, or be one of
    CSRF_TRUSTED_ORIGINS. Programs send none, and act for nobody who did not ask them to.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.denier = WebsocketDenier.as_asgi()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = {name: value.decode("latin1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        is_ours = origin is None or origin_is_ours(origin, host)
        application = self.application if is_ours else self.denier
        await application(scope, receive, send)


def origin_is_ours(origin: str, host: str) -> bool:
    """Whether an Origin header belongs to this site, given the Host header of the request."""
    try:
        page, site = urlsplit(origin), urlsplit(f"//{host}")
        if any(_is_trusted(page, urlsplit(each)) for each in settings.CSRF_TRUSTED_ORIGINS):
            return True
        if not page.hostname or not validate_host(
            split_domain_port(host)[0], settings.ALLOWED_HOSTS
        ):
            return False
        same_host = page.hostname == site.hostname or {page.hostname, site.hostname} <= (
            _THIS_MACHINE
        )
        return same_host and _port(page) == (site.port or _DEFAULT_PORTS.get(page.scheme))
    except ValueError:
        return False


def _is_trusted(page: SplitResult, trusted: SplitResult) -> bool:
    pattern = (trusted.hostname or "").removeprefix("*")
    return (
        page.scheme == trusted.scheme
        and _port(page) == _port(trusted)
        and is_same_domain(page.hostname or "", pattern)
    )


def _port(address: SplitResult) -> int | None:
    return address.port or _DEFAULT_PORTS.get(address.scheme)
