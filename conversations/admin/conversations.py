"""Conversations: found, read, exported and deleted; never written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import ShowFacets
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from conversations.admin.cells import moment, persona_avatar
from conversations.admin.changelist import (
    DATED_LIST,
    BoundedPaginator,
    ConversationChangeList,
    search_conversations,
)
from conversations.admin.deleting import PreparedDeletion
from conversations.admin.filters import FailedFilter, FeedbackFilter, LastActivityFilter
from conversations.admin.transcript import transcript_page
from conversations.models import Conversation, Message
from conversations.services.database import db_wait
from conversations.services.replies import replies_stop
from conversations.services.retention import conversations_delete
from conversations.services.transfer_out import dialogue_lines


@admin.register(Conversation)
class ConversationAdmin(PreparedDeletion):
    list_display = ("character", "channel", "said", "last_activity", "person")
    list_display_links = ("character",)
    list_filter = (
        "channel",
        ("last_activity_at", LastActivityFilter),
        FailedFilter,
        FeedbackFilter,
    )
    list_select_related = ("persona", "user")
    list_per_page = 50
    list_max_show_all = 200
    date_hierarchy = "last_activity_at"
    change_list_template = DATED_LIST
    ordering = ("-last_activity_at", "-id")
    sortable_by = ("last_activity",)
    search_fields = ("id",)  # shows the box; search_conversations does the searching
    search_help_text = "Words of one message, a character's name, or a conversation's id."
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = BoundedPaginator
    actions = ("export_selected",)
    deletes_more = "All that have been idle for a time go with: manage.py prune_conversations"

    class Media:
        css: ClassVar = {"all": ["conversations/admin.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConversationChangeList]:
        return ConversationChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        return search_conversations(queryset, search_term), False

    # Columns

    @admin.display(description="character")
    def character(self, conversation: Conversation) -> SafeString:
        return format_html(
            '<span class="chat-name">{}<span>{}{}</span></span>',
            persona_avatar(conversation.persona),
            conversation.persona.name,
            format_html('<span class="chat-title">{}</span>', conversation.title)
            if conversation.title
            else "",
        )

    @admin.display(description="messages")
    def said(self, conversation: Conversation) -> SafeString:
        totals = conversation.totals  # type: ignore[attr-defined]
        marks = (
            ("failed", "{} failed", totals["failed"]),
            ("up", "👍 {}", totals["up"]),
            ("down", "👎 {}", totals["down"]),
        )
        chips = [
            format_html('<span class="chat-chip {}">{}</span>', kind, text.format(number))
            for kind, text, number in marks
            if number
        ]
        return format_html("{} {}", totals["messages"], SafeString(" ".join(chips)))

    @admin.display(description="last activity", ordering="last_activity_at")
    def last_activity(self, conversation: Conversation) -> SafeString:
        return moment(conversation.last_activity_at)

    @admin.display(description="person")
    def person(self, conversation: Conversation) -> str | None:
        return conversation.user.get_username() if conversation.user else None

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": "Conversations", **(extra_context or {})})

    # The transcript in place of a form

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        conversation = self.get_object(request, object_id)
        if not self.has_view_permission(request, conversation):
            raise PermissionDenied
        if conversation is None:
            self.message_user(request, "There is no such conversation.", messages.WARNING)
            return HttpResponseRedirect(reverse("admin:conversations_conversation_changelist"))
        context = {
            **self.admin_site.each_context(request),
            **transcript_page(conversation, request.GET),
            "title": f"Chat with {conversation.persona.name}",
            "opts": self.opts,
            "media": self.media,
            "can_delete": self.has_delete_permission(request, conversation),
            "can_delete_messages": request.user.has_perm("conversations.delete_message"),
        }
        return TemplateResponse(
            request, "admin/conversations/conversation/transcript.html", context
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return super().get_queryset(request).select_related("persona", "user")

    # What staff may do

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return False

    @admin.action(description="Export selected conversations", permissions=["view"])
    def export_selected(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> HttpResponseBase:
        lines = dialogue_lines(conversations=queryset)
        response = StreamingHttpResponse(lines, content_type="application/x-ndjson")
        name = f"conversations-{timezone.localdate().isoformat()}.jsonl"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    def deletion_prepare(self, rows: Iterable[Conversation]) -> None:
        pks = [conversation.pk for conversation in rows]
        db_wait(replies_stop, among=Message.objects.filter(conversation__in=pks))

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        conversations_delete(conversations=Conversation.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        self.deletion_prepare(queryset)
        conversations_delete(conversations=queryset)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        conversations = list(queryset)
        for conversation in conversations:
            conversation.title = ""  # what a person wrote does not outlive the conversation
        return super().log_deletions(request, conversations)  # type: ignore[arg-type]

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """A summary: the list that Django makes would name every message."""
        pks = [conversation.pk for conversation in objs]
        named = [
            format_html(
                '<a href="{}">{}</a>',
                reverse("admin:conversations_conversation_change", args=[conversation.pk]),
                f"{conversation.persona.name}, {conversation.created_at:%Y-%m-%d %H:%M} UTC",
            )
            for conversation in objs[:50]
        ]
        more = [f"and {len(pks) - 50} more"] if len(pks) > 50 else []
        counts = {
            "conversations": len(pks),
            "messages": Message.objects.filter(conversation__in=pks).count(),
        }
        return [*named, *more], counts, set(), []
