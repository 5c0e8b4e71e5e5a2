"""The admin site itself: its names, and a front page that says how the chatbot is doing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from conversations.sign_in import StaffSignIn


class ChatAdminSite(AdminSite):
    site_title = "Persona chatbot"
    site_header = "Persona chatbot"
    index_title = "Overview"
    login_form = StaffSignIn
    index_template = "admin/conversations/index.html"

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        context = {**(extra_context or {})}
        if request.user.has_perm("conversations.view_conversation"):
            context["overview"] = _overview()
        return super().index(request, context)

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[dict[str, Any]]:
        """The chatbot first, accounts and permissions last."""
        apps = super().get_app_list(request, app_label)
        places = {"conversations": 0, "authtoken": 2, "auth": 3}
        return sorted(apps, key=lambda app: places.get(app["app_label"], 1))


def _overview() -> list[dict[str, Any]]:
    """What staff want to know first; every number is found through an index."""
    from conversations.models import Channel, Conversation, Message, Status
    from conversations.selectors import personas_active

    now = timezone.now()
    day, week = now - timedelta(days=1), now - timedelta(days=7)
    recent = Conversation.objects.filter(last_activity_at__gte=week)
    failed = Message.objects.filter(
        status=Status.FAILED, finished_at__gte=day, conversation__last_activity_at__gte=day
    )
    liked, disliked = (
        Message.objects.filter(feedback=value, conversation__last_activity_at__gte=week)
        for value in (1, -1)
    )
    channels = recent.order_by().values_list("channel").distinct()
    return [
        {
            "label": "Active today",
            "value": recent.filter(last_activity_at__gte=day).count(),
            "note": "chats in the last 24 hours",
        },
        {
            "label": "Active this week",
            "value": recent.count(),
            "note": ", ".join(sorted(str(Channel(name).label) for (name,) in channels)) or "none",
        },
        {
            "label": "Failed replies",
            "value": failed.count(),
            "note": "in the last 24 hours",
            "query": _query(day, failed="yes"),
            "is_bad": failed.exists(),
        },
        {
            "label": "Thumbs up / down",
            "value": f"{liked.count()} / {disliked.count()}",
            "note": "in the last 7 days",
            "query": _query(week, feedback="any"),
        },
        {
            "label": "Characters",
            "value": personas_active().count(),
            "note": "that new chats may meet",
        },
    ]


def _query(since: datetime, **chosen: str) -> str:
    """The filters that narrow the list to conversations active since a moment, and further."""
    return urlencode({**chosen, "last_activity_at__gte": since.isoformat()})
