"""Accounts: Django's own pages, but for what is deleted with an account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.authtoken.models import Token

from conversations.admin.deleting import PreparedDeletion
from conversations.admin.hidden import HiddenFields
from conversations.models import Conversation, Message
from conversations.services.database import db_wait
from conversations.services.replies import replies_stop
from conversations.services.retention import conversations_delete

admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(HiddenFields, PreparedDeletion, UserAdmin):  # type: ignore[type-arg]
    hidden = ("auth_token",)

    def deletion_prepare(self, rows: Iterable[User]) -> None:
        """Their conversations go first, in batches, so that others can write meanwhile."""
        conversations = Conversation.objects.filter(user__in=[user.pk for user in rows])
        db_wait(replies_stop, among=Message.objects.filter(conversation__in=conversations))
        conversations_delete(conversations=conversations)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Numbers: the list that Django makes would name every message."""
        pks = [user.pk for user in objs]
        counts = {
            "users": len(pks),
            "conversations": Conversation.objects.filter(user__in=pks).count(),
            "messages": Message.objects.filter(conversation__user__in=pks).count(),
            "API tokens": Token.objects.filter(user__in=pks).count(),
            "log entries": LogEntry.objects.filter(user__in=pks).count(),
        }
        may = request.user.has_perm("conversations.delete_conversation")
        lacking = {"conversation"} if counts["conversations"] and not may else set()
        shown = {name: number for name, number in counts.items() if number}
        return [user.get_username() for user in objs], shown, lacking, []
