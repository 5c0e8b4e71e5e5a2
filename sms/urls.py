"""The webhooks."""

from __future__ import annotations

from django.urls import path

from sms import views

app_name = "sms"
urlpatterns = [
    path("incoming/", views.incoming, name="incoming"),
    path("status/", views.status, name="status"),
]
