"""Where each part of the site lives."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from conversations.api.completions import ChatCompletions, ModelList

urlpatterns = [
    path("", include("conversations.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("conversations.api.urls")),
    path("v1/models", ModelList.as_view()),
    path("v1/chat/completions", ChatCompletions.as_view()),
    path("sms/", include("sms.urls")),
]
