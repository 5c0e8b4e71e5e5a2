"""Who texts, what came in, what is owed for it, and what became of it.

What was said is in `conversations.Message`; here are only envelopes. Only `sms.services` writes
these tables, and staff who block a number.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from sms.numbers import WHATSAPP, NumberInvalid, number_mask, number_parse


def validate_e164(value: str) -> None:
    """Refuse what is not a phone number in E.164."""
    try:
        number = number_parse(value)
    except NumberInvalid as error:
        raise ValidationError(f"{str(error).capitalize()}.") from error
    if number != value:
        raise ValidationError(f"Write it as {number}.")


class Contact(models.Model):
    """A phone number that texted us, or that must not."""

    number = models.CharField(
        max_length=16,
        unique=True,
        validators=[validate_e164],
        help_text="With + and the country's code and nothing between the digits (E.164).",
    )
    is_blocked = models.BooleanField(
        "blocked", default=False, help_text="Texts from a blocked number are never answered."
    )
    note = models.CharField(max_length=200, blank=True, help_text="For staff only.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "phone number"
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [("reveal_number", "Can see phone numbers in full")]

    def __str__(self) -> str:
        return self.masked

    @property
    def masked(self) -> str:
        return number_mask(self.number)


class Thread(models.Model):
    """All texts between one person's number and one of ours."""

    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="threads")
    is_whatsapp = models.BooleanField("WhatsApp", default=False)
    our_number = models.CharField(max_length=16)
    conversation = models.OneToOneField(
        "conversations.Conversation",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="sms_thread",
        help_text="The chat going on now; /reset and a long silence begin another.",
    )
    last_text_at = models.DateTimeField(default=timezone.now)
    opted_out_at = models.DateTimeField(
        null=True, blank=True, help_text="When the person texted STOP, or Twilio said they had."
    )

    class Meta:
        verbose_name = "line"
        ordering: ClassVar = ["-last_text_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["contact", "our_number", "is_whatsapp"], name="sms_one_thread_per_pair"
            )
        ]

    def __str__(self) -> str:
        return f"{self.contact.masked} and {number_mask(self.our_number)}"

    @property
    def person_address(self) -> str:
        return f"{WHATSAPP if self.is_whatsapp else ''}{self.contact.number}"

    @property
    def our_address(self) -> str:
        return f"{WHATSAPP if self.is_whatsapp else ''}{self.our_number}"


class Kind(models.TextChoices):
    CHAT = "chat", "for the character"
    COMMAND = "command", "command"
    MEDIA = "media", "only pictures or recordings"
    STOP = "stop", "STOP"
    START = "start", "START"
    HELP = "help", "HELP, answered by the carrier"
    EMPTY = "empty", "empty"
    INVALID = "invalid", "too long"
    LIMITED = "limited", "over a limit"
    BLOCKED = "blocked", "from a blocked number"
    OPTED_OUT = "opted_out", "after STOP"


# What the limits count.
COUNTED = (Kind.CHAT, Kind.COMMAND, Kind.MEDIA, Kind.INVALID)


class InboundMessage(models.Model):
    """One text that Twilio handed us. Its words, if they were for a character, are in the chat."""

    sid = models.CharField(
        "message SID", max_length=64, unique=True, help_text="Twilio's id of the text."
    )
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="inbound")
    kind = models.CharField(max_length=10, choices=Kind)
    detail = models.CharField(
        max_length=20, blank=True, help_text="Which command, which word, which limit."
    )
    media_count = models.PositiveSmallIntegerField(default=0)
    segments = models.PositiveSmallIntegerField(default=1, help_text="As Twilio counted them.")
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "received text"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["thread", "received_at"], name="sms_inbound_thread"),
            models.Index(fields=["received_at"], name="sms_inbound_received"),
        ]

    def __str__(self) -> str:
        return f"text {self.pk}"


class State(models.TextChoices):
    OWED = "owed", "owed"
    ANSWERED = "answered", "given to Twilio in the answer to its request"
    SENDING = "sending", "being sent"
    SENT = "sent", "sent"
    FAILED = "failed", "refused for good"
    UNKNOWN = "unknown", "outcome unknown"
    CANCELLED = "cancelled", "no longer wanted"


# Later answers of the same thread wait for these.
UNSETTLED = (State.OWED, State.SENDING)


class Answer(models.Model):
    """The one answer to a received text: what it says, and whether it is still owed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    inbound = models.OneToOneField(InboundMessage, on_delete=models.CASCADE, related_name="answer")
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="answers")
    reply = models.OneToOneField(
        "conversations.Message",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="sms_answer",
        help_text="The character's reply; empty when the line itself answers.",
    )
    prefix = models.CharField(max_length=160, blank=True)
    text = models.TextField(blank=True, help_text="As sent; empty until the reply is written.")
    encoding = models.CharField(max_length=5, blank=True)
    segments = models.PositiveSmallIntegerField(default=0)

    state = models.CharField(max_length=9, choices=State, default=State.OWED)
    due_at = models.DateTimeField(
        null=True, help_text="From when on it is sent through the REST API, or looked for there."
    )
    claimed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    is_uncertain = models.BooleanField(
        default=False, help_text="Twilio may have taken an earlier attempt: look before sending."
    )
    handed_over_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    sid = models.CharField("message SID", max_length=64, blank=True)
    delivery_status = models.CharField(max_length=20, blank=True)
    delivery_rank = models.SmallIntegerField(default=-1, editable=False)
    error_code = models.CharField(max_length=20, blank=True)

    class Meta:
        verbose_name = "answer"
        ordering: ClassVar = ["-inbound_id"]
        indexes: ClassVar = [
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=["owed", "sending", "unknown"]),
                name="sms_answer_due",
            ),
            models.Index(
                fields=["thread", "inbound"],
                condition=Q(state__in=["owed", "sending"]),
                name="sms_answer_unsettled",
            ),
            models.Index(fields=["sid"], name="sms_answer_sid"),
        ]

    def __str__(self) -> str:
        return f"answer {self.pk}"


class DeliveryEvent(models.Model):
    """What Twilio told us about a sent text."""

    answer = models.ForeignKey(
        Answer, on_delete=models.CASCADE, null=True, blank=True, related_name="events"
    )
    sid = models.CharField("message SID", max_length=64)
    status = models.CharField(max_length=20)
    error_code = models.CharField(max_length=20, blank=True)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "delivery event"
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sid", "status"], name="sms_one_event_per_status")
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.error_code}".strip()
