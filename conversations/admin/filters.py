"""Filters of the list of conversations; each uses a small index of its own."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import DateFieldListFilter, ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from conversations.models import Conversation, Message, Status
from conversations.selectors import FEEDBACK, conversations_judged


class LastActivityFilter(DateFieldListFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "last activity"


class FailedFilter(SimpleListFilter):
    title = "failed replies"
    parameter_name = "failed"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("yes", "with failed replies"), ("no", "without")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> QuerySet[Conversation]:
        failed = Message.objects.filter(status=Status.FAILED).values("conversation_id")
        if self.value() == "yes":
            return queryset.filter(pk__in=failed)
        if self.value() == "no":
            return queryset.exclude(pk__in=failed)
        return queryset


class FeedbackFilter(SimpleListFilter):
    title = "feedback"
    parameter_name = "feedback"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("any", "with feedback"), ("up", "thumbs up"), ("down", "thumbs down")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> QuerySet[Conversation]:
        feedback = self.value()
        if feedback not in FEEDBACK:
            return queryset
        return conversations_judged(conversations=queryset, feedback=feedback)
