"""The pages of the site."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, path

from conversations import operations, views
from conversations.sign_in import SignIn

urlpatterns: list[URLPattern] = [
    path("", views.home, name="home"),
    path("c/<uuid:conversation_id>/", views.conversation_page, name="conversation"),
    path("c/<uuid:conversation_id>/send/", views.conversation_send, name="conversation-send"),
    path("c/<uuid:conversation_id>/reveal/", views.conversation_reveal, name="conversation-reveal"),
    path(
        "c/<uuid:conversation_id>/messages/<int:message_id>/feedback/",
        views.reply_feedback,
        name="reply-feedback",
    ),
    path(
        "c/<uuid:conversation_id>/rename/",
        views.conversation_rename_page,
        name="conversation-rename",
    ),
    path(
        "c/<uuid:conversation_id>/delete/",
        views.conversation_delete_page,
        name="conversation-delete",
    ),
    path("c/<uuid:conversation_id>/export/", views.conversation_export, name="conversation-export"),
    path("conversations/", views.conversation_list, name="conversation-list"),
    path("conversations/export/", views.conversation_export_all, name="conversation-export-all"),
    path("sign-in/", SignIn.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("robots.txt", views.robots, name="robots"),
    path("favicon.ico", views.favicon, name="favicon"),
    path("healthz", operations.healthz, name="healthz"),
    path("readyz", operations.readyz, name="readyz"),
    path("metrics", operations.metrics, name="metrics"),
]
