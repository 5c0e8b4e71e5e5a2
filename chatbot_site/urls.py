"""Where each part of the site lives."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("conversations.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("conversations.api.urls")),
    path("v1/", include("conversations.api.openai_urls")),
    path("sms/", include("sms.urls")),
]
handler500 = "conversations.views.server_error"
