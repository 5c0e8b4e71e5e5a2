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


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file, as in real life: threads that share an in-memory database lock each other out."""
    database = django_settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        file = tmp_path_factory.mktemp("database") / "test.sqlite3"
        database.setdefault("TEST", {})["NAME"] = str(file)
