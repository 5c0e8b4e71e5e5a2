from __future__ import annotations

from django.apps import AppConfig


class SmsConfig(AppConfig):
    name = "sms"
    verbose_name = "SMS"

    def ready(self) -> None:
        from conversations.services.retention import pruners
        from sms import checks  # noqa: F401 - registers them
        from sms.services.retention import contacts_prune

        pruners.append(contacts_prune)
