"""System checks: what is wrong with an installation before anybody notices."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register  # noqa: A004 - Django's name

from inference.bundle import load_bundle
from inference.errors import BundleError


@register
def check_bundle(**_: Any) -> list[CheckMessage]:
    """The model's files are there and of the right size; server start compares checksums too."""
    try:
        load_bundle(settings.ENV.bundle, verify=False)
    except BundleError as error:
        return [
            Warning(
                f"The model cannot be served: {error}",
                hint="Set CHATBOT_BUNDLE to a bundle directory, or make one with export_bundle.",
                id="conversations.W001",
            )
        ]
    return []


@register
def check_setting_names(**_: Any) -> list[CheckMessage]:
    """No environment variable looks like a setting of ours without being one."""
    return [
        Warning(
            f"There is no setting {name}.",
            hint=f"Did you mean {meant}?" if meant else "docs/settings.md lists all settings.",
            id="conversations.W002",
        )
        for name, meant in settings.UNKNOWN_SETTINGS.items()
    ]
