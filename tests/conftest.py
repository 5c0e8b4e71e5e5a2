"""What every test gets."""

from __future__ import annotations

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings


def pytest_configure() -> None:
    # The middleware that serves static files warns when there is no such directory yet.
    django_settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def _plain_static_files(settings: Settings) -> None:
    """Addresses of static files without the hashes that only `collectstatic` knows."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
