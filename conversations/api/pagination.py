"""Cursor pagination: pages stay whole while rows are added."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView


class _Pages(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("page_size", str(self.page_size))
        if given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= self.max_page_size:
            return int(given)
        reason = f"Must be a number from 1 to {self.max_page_size}."
        raise ValidationError({"page_size": [reason]})

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] |= {"minimum": 1, "maximum": self.max_page_size}
        return parameters


class PersonaPages(_Pages):
    ordering = ("id",)


class ConversationPages(_Pages):
    ordering = ("-created_at", "-id")


class MessagePages(_Pages):
    ordering = ("id",)
