"""What all views of the API share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from conversations.models import Conversation, Message
from conversations.selectors import conversations_of_owner
from conversations.services.owners import Owner, client_address


class JsonParser(JSONParser):
    """JSON. What is nested too deeply to be read counts as badly formed."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - it is nested too deeply.") from None


class ApiView(GenericAPIView[Any]):
    """A view for the signed-in person; what belongs to others does not exist for them."""

    parser_classes = (JsonParser,)

    @property
    def owner(self) -> Owner:
        user = self.request.user
        return Owner(user=user if user.is_authenticated else None)

    @property
    def address(self) -> str:
        return client_address(self.request._request)  # noqa: SLF001 - it has no other name

    def conversations(self) -> QuerySet[Conversation]:
        return conversations_of_owner(owner=self.owner)

    def conversation(self) -> Conversation:
        return get_object_or_404(self.conversations(), pk=self.kwargs["conversation_id"])

    def message(self, **conditions: Any) -> Message:
        messages = Message.objects.filter(conversation=self.conversation(), **conditions)
        return get_object_or_404(messages, pk=self.kwargs["message_id"])

    def valid(self, serializer: type[BaseSerializer[Any]]) -> dict[str, Any]:
        given = serializer(data=self.request.data)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)

    def page(
        self, rows: QuerySet[Any], pages: type[CursorPagination], serializer: type[Any]
    ) -> Response:
        paginator = pages()
        found = paginator.paginate_queryset(rows, self.request, view=self)
        return paginator.get_paginated_response(serializer(found, many=True).data)


class Nowhere(ApiView):
    """An address that does not exist, answered in the API's own words."""

    schema = None
    advice = "/api/docs/ lists what there is."

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound(f"There is nothing at this address; {self.advice}")
