"""Cursor pagination: pages stay whole while rows are added."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class _Pages(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"


class PersonaPages(_Pages):
    ordering = ("id",)


class ConversationPages(_Pages):
    ordering = ("-created_at", "-id")


class MessagePages(_Pages):
    ordering = ("id",)
