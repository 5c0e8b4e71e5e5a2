"""Conversations: list, start, rename, delete, reset, reveal, export."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.api.base import ApiView
from conversations.api.pagination import ConversationPages
from conversations.api.serializers import (
    ConversationCreateSerializer,
    ConversationRenameSerializer,
    ConversationSerializer,
    ExportSerializer,
    PersonaSerializer,
)
from conversations.models import Channel
from conversations.selectors import conversation_document, personas_active
from conversations.services.conversations import (
    conversation_delete,
    conversation_rename,
    conversation_renew,
    conversation_start,
    persona_reveal,
)
from conversations.services.database import db_wait
from conversations.services.limits import conversation_limit


class ConversationList(ApiView):
    serializer_class = ConversationSerializer
    pagination_class = ConversationPages

    @extend_schema(operation_id="conversations_list", responses=ConversationSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Your conversations, the newest first."""
        return self.page(self.conversations(), ConversationPages, ConversationSerializer)

    @extend_schema(
        operation_id="conversations_create",
        request=ConversationCreateSerializer,
        responses={201: ConversationSerializer},
    )
    def post(self, request: Request) -> Response:
        """Start a conversation, with a chosen character or a random one."""
        wanted = self.valid(ConversationCreateSerializer)
        persona = None
        if wanted.get("persona"):
            persona = get_object_or_404(personas_active(), pk=wanted["persona"])
        conversation_limit(owner=self.owner, address=self.address)
        conversation = conversation_start(
            channel=Channel.API, owner=self.owner, persona=persona, title=wanted.get("title", "")
        )
        if persona:
            persona_reveal(conversation=conversation)
        return Response(ConversationSerializer(conversation).data, status=201)


class ConversationDetail(ApiView):
    serializer_class = ConversationSerializer

    @extend_schema(operation_id="conversations_retrieve")
    def get(self, request: Request, conversation_id: str) -> Response:
        """One conversation."""
        return Response(ConversationSerializer(self.conversation()).data)

    @extend_schema(
        operation_id="conversations_rename",
        request=ConversationRenameSerializer,
        responses=ConversationSerializer,
    )
    def patch(self, request: Request, conversation_id: str) -> Response:
        """Give it a title."""
        conversation = self.conversation()
        wanted = self.valid(ConversationRenameSerializer)
        if "title" in wanted:
            conversation_rename(conversation=conversation, title=wanted["title"])
        return Response(ConversationSerializer(conversation).data)

    @extend_schema(operation_id="conversations_delete", responses={204: None})
    def delete(self, request: Request, conversation_id: str) -> Response:
        """Delete it with everything said in it."""
        conversation_delete(conversation=self.conversation())
        return Response(status=204)


class ConversationReset(ApiView):
    serializer_class = ConversationSerializer

    @extend_schema(
        operation_id="conversations_reset", request=None, responses={201: ConversationSerializer}
    )
    def post(self, request: Request, conversation_id: str) -> Response:
        """Go on with another character: a new conversation. The old one stays as it is."""
        successor = db_wait(
            conversation_renew,
            conversation=self.conversation(),
            owner=self.owner,
            address=self.address,
        )
        return Response(ConversationSerializer(successor).data, status=201)


class ConversationReveal(ApiView):
    serializer_class = PersonaSerializer

    @extend_schema(operation_id="conversations_reveal", request=None)
    def post(self, request: Request, conversation_id: str) -> Response:
        """Look up who the character is."""
        persona = persona_reveal(conversation=self.conversation())
        return Response(PersonaSerializer(persona).data)


class ConversationExport(ApiView):
    serializer_class = ExportSerializer

    @extend_schema(operation_id="conversations_export")
    def get(self, request: Request, conversation_id: str) -> Response:
        """The whole conversation as one document."""
        return Response(conversation_document(conversation=self.conversation()))
