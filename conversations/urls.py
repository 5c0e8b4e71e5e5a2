"""The pages of the site."""

from __future__ import annotations

from django.urls import URLPattern, path

from conversations import operations

urlpatterns: list[URLPattern] = [
    path("healthz", operations.healthz, name="healthz"),
    path("readyz", operations.readyz, name="readyz"),
    path("metrics", operations.metrics, name="metrics"),
]
