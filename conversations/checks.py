"""System checks: what is wrong with an installation before anybody notices."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Info, Tags, Warning, register  # noqa: A004 - Django's

from inference.bundle import load_bundle
from inference.errors import BundleError

# A tag of its own, for what `serve` looks at before it starts.
SETTINGS = "settings"


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


@register(SETTINGS)
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


@register(Tags.security)
def check_exposure(**_: Any) -> list[CheckMessage]:
    """Nothing that is fit for one's own machine only is offered to the world."""
    env = settings.ENV
    if not _is_public(env.public_url):
        return []
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(
            Warning(
                "DEBUG is on though the site is public: error pages show source code and values.",
                hint="Leave DEBUG unset.",
                id="conversations.W003",
            )
        )
    if not env.https:
        found.append(
            Warning(
                "PUBLIC_URL begins with http: chats and passwords travel unencrypted.",
                hint="Put a proxy with TLS in front and set PUBLIC_URL to https://…; "
                "docs/operations.md shows how.",
                id="conversations.W004",
            )
        )
    elif not env.trusted_proxies:
        found.append(
            Warning(
                "PUBLIC_URL is https but CHATBOT_TRUSTED_PROXIES is 0: requests that a proxy "
                "hands on look like plain HTTP and are redirected again and again.",
                hint="Set CHATBOT_TRUSTED_PROXIES to the number of proxies in front.",
                id="conversations.W005",
            )
        )
    return found


@register(Tags.security, deploy=True)
def check_several_processes(**_: Any) -> list[CheckMessage]:
    """A hint where several processes are likely and could not tell each other anything."""
    if settings.ENV.redis_url or settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return []
    return [
        Info(
            "REDIS_URL is not set: this is right for one server process and for no more.",
            hint="Set REDIS_URL before starting a second one.",
            id="conversations.I001",
        )
    ]


def _is_public(url: str) -> bool:
    host = urlsplit(url).hostname or "localhost"
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal", ".test"))
