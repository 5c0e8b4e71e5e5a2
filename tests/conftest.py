"""What every test gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection
from pytest_django import DjangoDbBlocker, Settings

from tests.servers import Server, make_database


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


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """PostgreSQL drops no database that threads and pools still hold connections to."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(scope="session")
def server_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with three characters, for servers to copy."""
    return make_database(tmp_path_factory.mktemp("template") / "db.sqlite3")


@pytest.fixture(scope="session")
def live_server_process(
    server_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running daphne with a database of its own, shared by tests that leave it as it is.

    `url` and `websocket_url` say where; `visit()` comes as a new browser.
    """
    database = tmp_path_factory.mktemp("server") / "db.sqlite3"
    with Server(database, server_template, DEBUG="true") as server:
        yield server
