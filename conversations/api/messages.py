"""Messages: list, send (waiting for the reply or streaming it), follow, stop, judge."""

from __future__ import annotations

from uuid import UUID, uuid4, uuid5

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from conversations import protocol
from conversations.api.base import ApiView
from conversations.api.pagination import MessagePages
from conversations.api.serializers import (
    ExchangeSerializer,
    FeedbackSerializer,
    MessageSendSerializer,
    MessageSerializer,
)
from conversations.api.streaming import EVENT_STREAM, EventStreamRenderer, event_stream
from conversations.digits import number_from
from conversations.models import Conversation, Message, Role, Status
from conversations.services.database import db_wait
from conversations.services.events import MessageSaved, ReplyEnded
from conversations.services.messages import Exchange
from conversations.services.replies import feedback_give, message_post, reply_end, reply_stop

MAX_KEY_LENGTH = 255
MAX_SEQ = 1_000_000
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description=(
        "Any string of up to 255 characters. Sending it again gives the same message and reply and "
        "generates nothing twice; a reply that failed is tried again. With another text it is "
        "refused: status 409."
    ),
)
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    int,
    OpenApiParameter.HEADER,
    description="Number of the last token that arrived; the stream goes on after it.",
)
STREAM = OpenApiResponse(
    {
        "type": "object",
        "properties": {
            "event": {"type": "string", "description": "The `type` of the frame."},
            "data": {"type": "string", "description": "A frame of the websocket protocol."},
            "id": {"type": "string", "description": "The `seq` of a token."},
        },
    },
    description="The reply as server-sent events.",
)
KEY_REUSED = OpenApiResponse(
    {"$ref": "#/components/schemas/Error"},
    description="The `Idempotency-Key` has been used for another text; nothing was sent.",
)


class MessageList(ApiView):
    serializer_class = MessageSerializer
    pagination_class = MessagePages
    renderer_classes = (JSONRenderer, EventStreamRenderer)

    def get_renderers(self) -> list[BaseRenderer]:
        """Only what is being said comes as a stream."""
        renderers = super().get_renderers()
        return renderers if self.request.method == "POST" else renderers[:1]

    @extend_schema(operation_id="messages_list", responses=MessageSerializer(many=True))
    def get(self, request: Request, conversation_id: str) -> Response:
        """What was said, the oldest first."""
        messages = Message.objects.filter(conversation=self.conversation())
        return self.page(messages, MessagePages, MessageSerializer)

    @extend_schema(
        operation_id="messages_send",
        parameters=[IDEMPOTENCY_KEY],
        request=MessageSendSerializer,
        responses={
            (200, "application/json"): ExchangeSerializer,
            (201, "application/json"): ExchangeSerializer,
            (200, EVENT_STREAM): STREAM,
            (409, "application/json"): KEY_REUSED,
        },
    )
    def post(self, request: Request, conversation_id: str) -> Response | StreamingHttpResponse:
        """Say something and get the finished reply, or its tokens as they come when the request
        accepts `text/event-stream`."""
        conversation = self.conversation()
        text = self.valid(MessageSendSerializer)["text"]
        key = _client_id(request, conversation)
        streaming = isinstance(request.accepted_renderer, EventStreamRenderer)
        exchange, ended = db_wait(self._say, conversation, text, key, wait=not streaming)
        if ended is None:
            saved = MessageSaved(exchange.message.pk, key, exchange.message.text)
            first = [protocol.build_saved(saved, client_id=str(key))]
            return event_stream(reply_id=exchange.reply.pk, first=first, client_id=str(key))
        if ended.status == Status.FAILED:
            raise protocol.reply_failure(ended)
        # The conversation may have been deleted meanwhile.
        reply = get_object_or_404(Message, pk=exchange.reply.pk)
        body = ExchangeSerializer({"message": exchange.message, "reply": reply}).data
        return Response(body, status=201 if exchange.created else 200)

    async def _say(
        self, conversation: Conversation, text: str, key: UUID, *, wait: bool
    ) -> tuple[Exchange, ReplyEnded | None]:
        exchange = await message_post(
            conversation=conversation,
            text=text,
            client_id=key,
            owner=self.owner,
            address=self.address,
            same_text=True,
        )
        return exchange, await reply_end(reply_id=exchange.reply.pk) if wait else None


class MessageDetail(ApiView):
    serializer_class = MessageSerializer

    @extend_schema(operation_id="messages_retrieve")
    def get(self, request: Request, conversation_id: str, message_id: int) -> Response:
        """One message."""
        return Response(MessageSerializer(self.message()).data)


class ReplyEvents(ApiView):
    renderer_classes = (EventStreamRenderer, JSONRenderer)

    @extend_schema(
        operation_id="replies_events",
        parameters=[LAST_EVENT_ID],
        responses={(200, EVENT_STREAM): STREAM},
    )
    def get(self, request: Request, conversation_id: str, message_id: int) -> StreamingHttpResponse:
        """Follow a reply from anywhere in it: `Last-Event-ID` says what has arrived already."""
        seen = number_from(request.headers.get("Last-Event-ID") or "0", most=MAX_SEQ)
        if seen is None:
            raise ValidationError({"Last-Event-ID": [f"Must be a number from 0 to {MAX_SEQ}."]})
        reply = self.message(role=Role.BOT)
        return event_stream(reply_id=reply.pk, after_seq=seen)


class ReplyStop(ApiView):
    serializer_class = MessageSerializer

    @extend_schema(operation_id="replies_stop", request=None)
    def post(self, request: Request, conversation_id: str, message_id: int) -> Response:
        """Stop a reply that waits or is being written; it keeps what it has."""
        db_wait(self._stop, self.message(role=Role.BOT).pk)
        return Response(MessageSerializer(self.message(role=Role.BOT)).data)

    async def _stop(self, reply_id: int) -> None:
        await reply_stop(reply_id=reply_id)
        await reply_end(reply_id=reply_id)


class ReplyFeedback(ApiView):
    serializer_class = MessageSerializer

    @extend_schema(
        operation_id="replies_feedback", request=FeedbackSerializer, responses=MessageSerializer
    )
    def put(self, request: Request, conversation_id: str, message_id: int) -> Response:
        """Say whether a reply was good."""
        reply = self.message(role=Role.BOT)
        feedback_give(reply=reply, feedback=self.valid(FeedbackSerializer)["feedback"])
        return Response(MessageSerializer(reply).data)


def _client_id(request: Request, conversation: Conversation) -> UUID:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY_LENGTH:
        raise ValidationError({"Idempotency-Key": [f"At most {MAX_KEY_LENGTH} characters."]})
    if not key:
        return uuid4()
    try:
        return UUID(key)
    except ValueError:
        return uuid5(conversation.pk, key)
