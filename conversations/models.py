"""What is remembered: the characters, the conversations and every message.

Only `conversations.services` writes these tables; `conversations.selectors` reads them.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

# Who is called by one of these is not called by it alone.
TITLES = frozenset(["the", "mr", "mrs", "ms", "dr", "sir", "lady", "captain", "old", "little"])
TITLE_MAX_LENGTH = 80


class Persona(models.Model):
    """A character: a name and a few first-person lines the model speaks from."""

    name = models.CharField(max_length=80)
    lines = models.JSONField(help_text="First-person sentences, one a line.")
    color = models.CharField(
        max_length=7,
        validators=[RegexValidator(r"^#[0-9a-f]{6}$", "Write a colour as #rrggbb.")],
        help_text="Background of the avatar, as #rrggbb.",
    )
    emblem = models.CharField(max_length=8, help_text="Emoji or letters shown in the avatar.")
    source = models.CharField(max_length=40, help_text="Where the character comes from.")
    digest = models.CharField(
        max_length=64,
        unique=True,
        editable=False,
        help_text="SHA-256 of the lines as first loaded: the same character is never loaded twice.",
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Whether new conversations may meet this character."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "character"
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=Q(is_active=True), name="persona_active"),
            models.Index(fields=["name"], name="persona_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def prompt_lines(self) -> list[str]:
        """What the model speaks from: the lines, and the first name where they do not tell one."""
        if any("my name is" in line.lower() for line in self.lines):
            return list(self.lines)
        first, _, rest = self.name.partition(" ")
        name = self.name if first.lower().rstrip(".") in TITLES or " " in rest else first
        return [f"My name is {name}.", *self.lines]


class Channel(models.TextChoices):
    WEB = "web", "web"
    SMS = "sms", "SMS"
    API = "api", "API"
    TERMINAL = "terminal", "terminal"
    IMPORT = "import", "imported"


class Conversation(models.Model):
    """One chat between a person and a character."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    persona = models.ForeignKey(Persona, on_delete=models.PROTECT, related_name="conversations")
    channel = models.CharField(max_length=10, choices=Channel)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="conversations",
        help_text="The signed-in person it belongs to, if any.",
    )
    browser_key = models.CharField(
        max_length=32,
        blank=True,
        editable=False,
        help_text="Random key kept in the session of the browser it belongs to; empty if none.",
    )
    title = models.CharField(max_length=TITLE_MAX_LENGTH, blank=True)
    revealed_at = models.DateTimeField(
        null=True, blank=True, help_text="When the person first looked up who the character is."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_activity_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["-last_activity_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["-last_activity_at", "-id"], name="conversation_recent"),
            models.Index(fields=["browser_key", "-last_activity_at"], name="conversation_browser"),
            models.Index(fields=["user", "-last_activity_at"], name="conversation_user"),
            models.Index(fields=["created_at"], name="conversation_created"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)


class Role(models.TextChoices):
    USER = "user", "person"
    BOT = "bot", "character"


class Status(models.TextChoices):
    PENDING = "pending", "waiting"
    STREAMING = "streaming", "being written"
    COMPLETE = "complete", "complete"
    STOPPED = "stopped", "stopped by the person"
    INTERRUPTED = "interrupted", "cut off by a restart"
    FAILED = "failed", "failed"


UNFINISHED = (Status.PENDING, Status.STREAMING)
RETRIABLE = (Status.INTERRUPTED, Status.FAILED)


class Message(models.Model):
    """What was said. A person's message and the row of its reply are created together, so that
    the order of the ids is the order of the conversation."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages"
    )
    role = models.CharField(max_length=4, choices=Role)
    text = models.TextField(blank=True)
    status = models.CharField(max_length=11, choices=Status, default=Status.COMPLETE)
    client_id = models.UUIDField(
        null=True, blank=True, help_text="The sender's own id: sending it again changes nothing."
    )
    reply_to = models.OneToOneField(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="reply",
        help_text="For a reply: the message it answers.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a process took a reply on; tells one being written from one left behind.",
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    # How a reply came about; empty for a person's message.
    token_ends = models.JSONField(
        default=list,
        blank=True,
        help_text="Length of the text after each streamed piece: lets a reader resume anywhere.",
    )
    error_code = models.CharField(max_length=30, blank=True)
    bundle = models.CharField(max_length=80, blank=True)
    sampling = models.JSONField(default=dict, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    queued_ms = models.PositiveIntegerField(null=True, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    feedback = models.SmallIntegerField(
        null=True, blank=True, choices=[(1, "thumbs up"), (-1, "thumbs down")]
    )

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["conversation", "id"], name="message_conversation"),
            models.Index(
                fields=["id"],
                condition=Q(status__in=["pending", "streaming"]),
                name="message_unfinished",
            ),
            # Few rows each: staff look for what went wrong and for what people thought.
            models.Index(
                fields=["conversation"], condition=Q(status="failed"), name="message_failed"
            ),
            models.Index(
                fields=["conversation", "feedback"],
                condition=Q(feedback__isnull=False),
                name="message_feedback",
            ),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["conversation", "client_id"], name="message_once_per_client_id"
            ),
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(status="streaming"),
                name="message_one_reply_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} message {self.pk}"
