"""Websocket addresses."""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path

from conversations.consumers import chat_consumer, refuse

# Django's stubs know only views here; Channels' router takes ASGI applications.
websocket_urlpatterns: list[Any] = [
    path("ws/c/<uuid:conversation_id>/", chat_consumer),  # type: ignore[arg-type]
    re_path("", refuse),  # type: ignore[arg-type]
]
