"""Addresses of the OpenAI-compatible surface."""

from __future__ import annotations

from django.urls import URLPattern, path, re_path

from conversations.api.completions import ChatCompletions, ModelDetail, ModelList, OpenAiNowhere

urlpatterns: list[URLPattern] = [
    path("models", ModelList.as_view()),
    path("models/<str:model>", ModelDetail.as_view()),
    path("chat/completions", ChatCompletions.as_view()),
    re_path(r"", OpenAiNowhere.as_view()),
]
