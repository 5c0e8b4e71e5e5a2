from __future__ import annotations

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.db.backends.signals import connection_created


class ConversationsConfig(AppConfig):
    name = "conversations"
    verbose_name = "Chatbot"

    def ready(self) -> None:
        from conversations import checks  # noqa: F401 - importing it registers the checks
        from conversations.sign_in import claim_what_was_said
        from conversations.sqlite import search_in_every_script

        connection_created.connect(search_in_every_script)
        user_logged_in.connect(claim_what_was_said)
