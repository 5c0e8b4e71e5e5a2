"""Addresses of the API."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from conversations.api import conversations, messages, personas
from conversations.api.base import Nowhere

_conversation: list[URLPattern] = [
    path("", conversations.ConversationDetail.as_view(), name="conversation"),
    path("reset/", conversations.ConversationReset.as_view(), name="reset"),
    path("reveal/", conversations.ConversationReveal.as_view(), name="reveal"),
    path("export/", conversations.ConversationExport.as_view(), name="export"),
    path("messages/", messages.MessageList.as_view(), name="messages"),
    path("messages/<int:message_id>/", messages.MessageDetail.as_view(), name="message"),
    path("messages/<int:message_id>/events/", messages.ReplyEvents.as_view(), name="events"),
    path("messages/<int:message_id>/stop/", messages.ReplyStop.as_view(), name="stop"),
    path("messages/<int:message_id>/feedback/", messages.ReplyFeedback.as_view(), name="feedback"),
]
_version_1: list[URLPattern | URLResolver] = [
    path("personas/", personas.PersonaList.as_view(), name="personas"),
    path("personas/random/", personas.PersonaRandom.as_view(), name="persona-random"),
    path("personas/<int:persona_id>/", personas.PersonaDetail.as_view(), name="persona"),
    path("conversations/", conversations.ConversationList.as_view(), name="conversations"),
    path("conversations/<uuid:conversation_id>/", include(_conversation)),
    path("model/", personas.LiveModel.as_view(), name="model"),
]

app_name = "api"
urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include(_version_1)),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="api:schema"), name="docs"),
    re_path(r"", Nowhere.as_view()),
]
