"""What the API takes and gives."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from conversations.models import (
    TITLE_MAX_LENGTH,
    Channel,
    Conversation,
    Message,
    Persona,
    Role,
)


@extend_schema_field({"type": "string"})
class PlainText(serializers.Field[str, str, str, Any]):
    """A string exactly as it was sent; what may be in it is for the services to say."""

    default_error_messages: ClassVar = {"invalid": "Must be a string."}

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data

    def to_representation(self, value: str) -> str:
        return value


class PersonaSerializer(serializers.ModelSerializer[Persona]):
    lines = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Persona
        fields = ("id", "name", "lines", "color", "emblem", "source")
        read_only_fields = fields


class ConversationSerializer(serializers.ModelSerializer[Conversation]):
    channel = serializers.ChoiceField(choices=Channel.choices, read_only=True)
    persona = serializers.SerializerMethodField(
        help_text="The character; null until it is revealed, unless it was chosen by name."
    )

    class Meta:
        model = Conversation
        fields = ("id", "title", "channel", "persona", "created_at", "last_activity_at")
        read_only_fields = fields

    @extend_schema_field(PersonaSerializer(allow_null=True))
    def get_persona(self, conversation: Conversation) -> dict[str, Any] | None:
        if conversation.revealed_at is None:
            return None
        return dict(PersonaSerializer(conversation.persona).data)


class ConversationCreateSerializer(serializers.Serializer[Any]):
    persona = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=2**63 - 1,
        help_text="Id of the character to talk to; a random one, kept secret, when left out.",
    )
    title = PlainText(required=False, help_text=f"At most {TITLE_MAX_LENGTH} characters.")


class ConversationRenameSerializer(serializers.Serializer[Any]):
    title = PlainText(
        required=False, help_text=f"At most {TITLE_MAX_LENGTH} characters; empty takes it away."
    )


class MessageSerializer(serializers.ModelSerializer[Message]):
    id = serializers.CharField(source="pk", read_only=True)
    last_seq = serializers.SerializerMethodField(
        help_text="Number of the last piece of a reply; 0 for a person's message."
    )
    reply_to = serializers.CharField(source="reply_to_id", read_only=True, allow_null=True)

    class Meta:
        model = Message
        fields = (
            *("id", "role", "text", "status", "client_id", "reply_to", "created_at"),
            *("finished_at", "last_seq", "error_code", "feedback"),
            *("prompt_tokens", "completion_tokens", "queued_ms", "first_token_ms", "duration_ms"),
        )
        read_only_fields = fields

    @extend_schema_field({"type": "integer", "minimum": 0})
    def get_last_seq(self, message: Message) -> int:
        return len(message.token_ends)


class MessageSendSerializer(serializers.Serializer[Any]):
    text = PlainText(help_text="What the person says.")


class ExchangeSerializer(serializers.Serializer[Any]):
    """A message and its finished reply."""

    message = MessageSerializer()
    reply = MessageSerializer()


class FeedbackSerializer(serializers.Serializer[Any]):
    feedback = serializers.ChoiceField(
        choices=[1, -1],
        allow_null=True,
        help_text="1 thumbs up, -1 thumbs down, null takes it back.",
    )


class ModelSerializer(serializers.Serializer[Any]):
    """The model that is being served."""

    name = serializers.CharField()
    architecture = serializers.CharField()
    quantization = serializers.CharField()
    parameters = serializers.DictField(child=serializers.IntegerField())
    sampling = serializers.DictField(help_text="How replies are drawn.")
    source = serializers.DictField(  # type: ignore[assignment]
        help_text="Where it comes from."
    )
    metrics = serializers.DictField(help_text="How good it was when it was exported.")
    card = serializers.CharField(help_text="The model card, in Markdown.")


class ExportedMessageSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=Role.choices)
    text = serializers.CharField()
    status = serializers.CharField()
    time = serializers.DateTimeField()


class ExportSerializer(serializers.Serializer[Any]):
    """A whole conversation, for its person to keep."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    started_at = serializers.DateTimeField()
    character = serializers.DictField(allow_null=True)
    messages = ExportedMessageSerializer(many=True)
