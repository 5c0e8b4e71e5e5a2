from __future__ import annotations

from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "conversations"
    verbose_name = "Chatbot"

    def ready(self) -> None:
        from conversations import checks  # noqa: F401 - importing it registers the checks
