"""Single messages: reached from a transcript, deletable there, otherwise out of sight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from conversations.admin.deleting import PreparedDeletion
from conversations.models import Message
from conversations.services.database import db_wait
from conversations.services.replies import replies_stop
from conversations.services.retention import message_delete


@admin.register(Message)
class MessageAdmin(PreparedDeletion):
    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:conversations_conversation_changelist"))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        message = self.get_object(request, object_id)
        if not self.has_view_permission(request, message):
            raise PermissionDenied
        if message is None:
            raise Http404("There is no such message.")
        page = reverse("admin:conversations_conversation_change", args=[message.conversation_id])
        return HttpResponseRedirect(f"{page}?message={message.pk}#message-{message.pk}")

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        message = self.get_object(request, object_id)
        # The message is gone when response_delete comes to lead back to its conversation.
        request.deleted_from = message.conversation_id if message else None  # type: ignore[attr-defined]
        return super().delete_view(request, object_id, extra_context)

    def deletion_prepare(self, rows: Iterable[Message]) -> None:
        pks = [message.pk for message in rows]
        affected = Message.objects.filter(Q(pk__in=pks) | Q(reply_to__in=pks))
        db_wait(replies_stop, among=affected)

    def delete_model(self, request: HttpRequest, obj: Message) -> None:
        message_delete(message=obj)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        conversation_id = request.deleted_from  # type: ignore[attr-defined]
        self.message_user(request, "The message was deleted.")
        return HttpResponseRedirect(
            reverse("admin:conversations_conversation_change", args=[conversation_id])
        )

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        message = objs[0]
        affected = [message, *Message.objects.filter(reply_to=message)]
        named = [
            format_html("{}: “{}”", entry.get_role_display(), _shortened(entry.text))
            for entry in affected
        ]
        return named, {"messages": len(affected)}, set(), []


def _shortened(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:119]}…"
