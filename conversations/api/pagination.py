"""Cursor pagination: pages stay whole while rows are added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError as NoSuchValue
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from conversations.digits import number_from


class _Pages(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("page_size", str(self.page_size))
        number = number_from(given, least=1, most=self.max_page_size)
        if number is None:
            reason = f"Must be a number from 1 to {self.max_page_size}."
            raise ValidationError({"page_size": [reason]})
        return number

    def paginate_queryset(
        self,
        queryset: QuerySet[Any, Any] | Sequence[Any],
        request: Request,
        view: APIView | None = None,
    ) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, OverflowError, NoSuchValue) as error:
            # A cursor that is none of ours: its place is no value of the column.
            raise NotFound(self.invalid_cursor_message) from error

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The framework writes OpenAPI 3.0, in which what may be null was said in another way."""
        page: dict[str, Any] = super().get_paginated_response_schema(schema)
        for name in ("next", "previous"):
            link = page["properties"][name]
            del link["nullable"]
            link["type"] = ["string", "null"]
        return page

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
