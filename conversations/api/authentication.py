"""Tokens, as programs send them."""

from __future__ import annotations

from rest_framework.authentication import TokenAuthentication, get_authorization_header
from rest_framework.request import Request


class BearerOrToken(TokenAuthentication):
    """`Authorization: Bearer …` (RFC 6750) and `Authorization: Token …` mean the same."""

    keyword = "Bearer"

    def authenticate(self, request: Request) -> tuple[object, object] | None:
        scheme = get_authorization_header(request).partition(b" ")[0].lower()
        if scheme == b"token":
            return TokenAuthentication().authenticate(request)
        return super().authenticate(request)
