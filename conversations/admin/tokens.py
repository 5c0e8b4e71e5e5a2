"""API tokens: a key is as good as a password, and is shown once, to whom makes it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from rest_framework.authtoken.admin import TokenAdmin
from rest_framework.authtoken.models import TokenProxy

from conversations.admin.hidden import HiddenFields

SHOWN = 4


def _masked(token: TokenProxy) -> str:
    return f"{token.key[:SHOWN]}…"


# What the admin calls a token on all its pages and in its log, which is kept.
TokenProxy.__str__ = _masked  # type: ignore[method-assign, assignment]
admin.site.unregister(TokenProxy)


@admin.register(TokenProxy)
class MaskedTokenAdmin(HiddenFields, TokenAdmin):
    hidden = ("key", "pk")
    list_display = ("masked", "user", "created")
    readonly_fields = ("masked", "created")

    def get_fields(self, request: HttpRequest, obj: TokenProxy | None = None) -> tuple[str, ...]:
        return ("user", "masked", "created") if obj else ("user",)

    @admin.display(description="key")
    def masked(self, token: TokenProxy) -> str:
        return _masked(token)

    def response_add(
        self, request: HttpRequest, obj: TokenProxy, post_url_continue: Any = None
    ) -> HttpResponse:
        shown = f"The key of {obj.user}, shown this once: {obj.key}"
        self.message_user(request, shown, messages.WARNING)
        return super().response_add(request, obj, post_url_continue)
