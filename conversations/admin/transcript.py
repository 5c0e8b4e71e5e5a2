"""A conversation as staff read it: one page of its messages, and the facts beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.paginator import Paginator
from django.utils import timezone
from django.utils.safestring import SafeString

from conversations.admin.cells import persona_avatar
from conversations.digits import number_from
from conversations.models import Conversation, Message, Role, Status

MESSAGES_PER_PAGE = 100
# The tone in which a state other than "complete" is shown.
TONES = {Status.FAILED: "bad", Status.INTERRUPTED: "warn"}


def transcript_page(conversation: Conversation, query: Mapping[str, str]) -> dict[str, Any]:
    """Context of the transcript's template.

    `query` may hold `page`, or `message`: the id of a message whose page is wanted.
    """
    messages = conversation.messages.defer("token_ends").order_by("id")
    paginator: Paginator[Message] = Paginator(messages, MESSAGES_PER_PAGE)
    page = paginator.get_page(_page_number(conversation, query))
    return {
        "conversation": conversation,
        "persona": conversation.persona,
        "avatar": persona_avatar(conversation.persona, size=48),
        "page": page,
        "pages": paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1),
        "ellipsis": Paginator.ELLIPSIS,
        "rows": list(_rows(page.object_list, conversation)),
        "time_zone": timezone.get_current_timezone_name(),
    }


def _page_number(conversation: Conversation, query: Mapping[str, str]) -> str | int:
    wanted = number_from(query.get("message", ""))
    if wanted is None:
        return query.get("page", "1")
    before = conversation.messages.filter(id__lt=wanted).count()
    return before // MESSAGES_PER_PAGE + 1


def _rows(messages: Iterable[Message], conversation: Conversation) -> Iterable[dict[str, Any]]:
    small_avatar = persona_avatar(conversation.persona)
    day = None
    for message in messages:
        local_day = timezone.localtime(message.created_at).date()
        is_bot = message.role == Role.BOT
        yield {
            "message": message,
            "is_bot": is_bot,
            "avatar": small_avatar if is_bot else SafeString(""),
            "new_day": local_day if local_day != day else None,
            "state": "" if message.status == Status.COMPLETE else message.get_status_display(),
            "tone": TONES.get(Status(message.status), "note"),
            "summary": _summary(message) if is_bot else "",
            "facts": _facts(message) if is_bot else [],
        }
        day = local_day


def _summary(message: Message) -> str:
    parts = []
    if message.duration_ms is not None:
        parts.append(_duration(message.duration_ms))
    if message.completion_tokens is not None:
        parts.append(f"{message.completion_tokens} tokens")
    return " · ".join(parts) or "details"


def _facts(message: Message) -> list[tuple[str, Any]]:
    """What is known of how a reply came about, in the order a person asks."""
    facts: list[tuple[str, Any]] = [("model", message.bundle)]
    facts += [
        (label, _duration(value) if value is not None else None)
        for label, value in (
            ("waited for a slot", message.queued_ms),
            ("first token after", message.first_token_ms),
            ("whole reply", message.duration_ms),
        )
    ]
    facts += [
        ("prompt", _tokens(message.prompt_tokens)),
        ("reply", _tokens(message.completion_tokens)),
        ("speed", _speed(message)),
        ("error", message.error_code),
        *((str(name).replace("_", " "), value) for name, value in message.sampling.items()),
    ]
    return [(label, value) for label, value in facts if value not in (None, "")]


def _duration(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _tokens(number: int | None) -> str | None:
    return None if number is None else f"{number} tokens"


def _speed(message: Message) -> str | None:
    """Tokens a second while the reply was being written, the first one not counted."""
    if message.duration_ms is None or message.first_token_ms is None:
        return None
    writing, tokens = message.duration_ms - message.first_token_ms, message.completion_tokens
    return f"{1000 * (tokens - 1) / writing:.0f} tokens/s" if tokens and writing > 0 else None
