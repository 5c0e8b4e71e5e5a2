"""Who a conversation belongs to: a browser, known by a random key in its session, or a user."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, parse_cookie

SESSION_KEY = "browser_key"


@dataclass(frozen=True, slots=True)
class Owner:
    """A person, as far as they are known. Both empty: nobody (a text message, a terminal)."""

    user: AbstractBaseUser | None = None
    browser_key: str = ""

    @property
    def is_staff(self) -> bool:
        return bool(self.user and getattr(self.user, "is_staff", False) and self.user.is_active)

    @property
    def rate_key(self) -> str:
        """What their rate limits are counted under; empty for nobody."""
        return f"user:{self.user.pk}" if self.user else self.browser_key and f"b:{self.browser_key}"


def owner_from_request(request: HttpRequest, *, create: bool = False) -> Owner:
    """Who sent an HTTP request. With `create` a browser is given a key, or keeps its own longer."""
    user = getattr(request, "user", None)
    return _owner(request.session, user if user and user.is_authenticated else None, create=create)


def owner_from_scope(scope: Mapping[str, Any]) -> Owner:
    """Who opened a websocket, by its session cookie. Reads the database.

    The session is never written: a websocket cannot set a cookie.
    """
    cookies = parse_cookie(_header(scope, b"cookie"))
    session_key = cookies.get(settings.SESSION_COOKIE_NAME)
    if not session_key:
        return Owner()
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    # Of the new key that a session of an earlier `SECRET_KEY` gets, nobody would tell the browser.
    session.cycle_key, session.flush = (lambda: None), session.clear
    # Django's own look-up, which also notices a changed password, wants only the session.
    user = get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]
    return _owner(session, user if user.is_authenticated else None, create=False)


def client_address(scope_or_request: Mapping[str, Any] | HttpRequest) -> str:
    """The network address of the person's side, "" when unknown.

    `X-Forwarded-For` is believed only as far as `CHATBOT_TRUSTED_PROXIES` proxies of our own have
    written it: each appends whom it got the request from, so the entry counted from the right is
    the first that none of ours vouches for further.
    """
    if isinstance(scope_or_request, HttpRequest):
        peer = str(scope_or_request.META.get("REMOTE_ADDR") or "")
        forwarded = str(scope_or_request.META.get("HTTP_X_FORWARDED_FOR", ""))
    else:
        peer = str((scope_or_request.get("client") or ("",))[0])
        forwarded = _header(scope_or_request, b"x-forwarded-for")
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()] + [peer]
    hop = hops[max(0, len(hops) - 1 - settings.ENV.trusted_proxies)]
    return hop if _is_address(hop) else peer


def _owner(session: SessionBase, user: AbstractBaseUser | None, *, create: bool) -> Owner:
    key = session.get(SESSION_KEY, "")
    if create:
        # Written also where there is a key: the cookie then lasts another year.
        key = session[SESSION_KEY] = key or secrets.token_hex(16)
    return Owner(user=user, browser_key=key)


def _header(scope: Mapping[str, Any], name: bytes) -> str:
    return ",".join(value.decode("latin1") for key, value in scope["headers"] if key == name)


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
