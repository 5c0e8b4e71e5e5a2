"""What keeps the lists fast however much is stored: bounded counts and bounded searches."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any, cast

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import smart_split, unescape_string_literal

from conversations.models import Conversation, Message, Persona, Status

COUNT_LIMIT = 20_000
SEARCHED_MESSAGES = 250_000
FOUND_CONVERSATIONS = 1_000
SEARCHED_WORDS = 10
# For a list with a `date_hierarchy`.
DATED_LIST = "admin/conversations/dated_list.html"


class AtLeast(int):
    """A count that stopped at its limit: `20000+` wherever the admin prints it."""

    def __str__(self) -> str:
        return f"{int(self)}+"


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than COUNT_LIMIT; older rows are reached by date and by filters."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        counted = rows.order_by()[: COUNT_LIMIT + 1].count()
        return AtLeast(COUNT_LIMIT) if counted > COUNT_LIMIT else counted


class ConversationChangeList(ChangeList):
    """Adds to each row of the page what its messages say, in one query for the page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        totals = {
            total["conversation_id"]: total
            for total in Message.objects.filter(conversation__in=[row.pk for row in rows])
            .values("conversation_id")
            .annotate(
                messages=Count("id"),
                failed=Count("id", filter=Q(status=Status.FAILED)),
                up=Count("id", filter=Q(feedback=1)),
                down=Count("id", filter=Q(feedback=-1)),
            )
        }
        for row in rows:
            row.totals = totals.get(row.pk, {"messages": 0, "failed": 0, "up": 0, "down": 0})
        self.result_list = rows


class PersonaChangeList(ChangeList):
    """Adds to each character of the page its number of conversations, in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        counts = dict(
            Conversation.objects.filter(persona__in=[row.pk for row in rows])
            .order_by()
            .values_list("persona_id")
            .annotate(Count("id"))
        )
        for row in rows:
            row.conversation_count = counts.get(row.pk, 0)
        self.result_list = rows


def search_words(search: str) -> list[str]:
    """The first SEARCHED_WORDS words of a search; what stands in quotes is one. Each is a condition
    of its own, and databases take only so many."""
    words = [
        unescape_string_literal(word) if len(word) > 1 and word[0] == word[-1] in "'\"" else word
        for word in smart_split(search.replace("\0", ""))
    ]
    return [word for word in words if word][:SEARCHED_WORDS]


def search_conversations(queryset: QuerySet[Conversation], search: str) -> QuerySet[Conversation]:
    """Conversations with one message, or a character's name, that contains every word.

    Looks at the SEARCHED_MESSAGES newest messages and keeps the FOUND_CONVERSATIONS most recent
    finds, so that the slowest search costs the same in a year as today. A whole conversation id
    finds that conversation.
    """
    words = search_words(search)
    if not words:
        return queryset
    in_text, in_name = Q(), Q()
    for word in words:
        in_text &= Q(text__icontains=word)
        in_name &= Q(name__icontains=word)
    newest = Message.objects.order_by("-id").values_list("id", flat=True).first() or 0
    messages = (
        Message.objects.filter(in_text, id__gt=newest - SEARCHED_MESSAGES)
        .order_by("-id")
        .values_list("conversation_id", flat=True)
    )
    found = list(dict.fromkeys(messages[: 20 * FOUND_CONVERSATIONS]))[:FOUND_CONVERSATIONS]
    condition = Q(pk__in=found) | Q(persona__in=Persona.objects.filter(in_name).values("pk"))
    with contextlib.suppress(ValueError):
        condition |= Q(pk=uuid.UUID(words[0]))
    return queryset.filter(condition)
