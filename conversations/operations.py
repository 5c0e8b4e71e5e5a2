"""What machines ask the site: is it alive, is it ready, how is it doing."""

from __future__ import annotations

import logging
import secrets

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from conversations.metrics import REGISTRY
from conversations.services.engine import engine_loader
from conversations.services.limits import address_parsed

logger = logging.getLogger(__name__)

# A request with one of these came through a proxy, so its peer says nothing about who sent it.
FORWARDING_HEADERS = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
)


_migrations_applied = False


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether the process answers at all. Touches neither the database nor the model."""
    return _not_stored(HttpResponse("ok\n", content_type="text/plain; charset=utf-8"))


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether the process can chat: 200 or 503, and which part is not ready."""
    database, migrations = _database_states()
    parts = {"database": database, "migrations": migrations, "engine": engine_loader.state()}
    ready = all(state == "ok" for state in parts.values())
    return _not_stored(
        JsonResponse(
            {"status": "ready" if ready else "unavailable", **parts}, status=200 if ready else 503
        )
    )


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Counts for Prometheus, for this machine or for bearers of `CHATBOT_METRICS_TOKEN`."""
    if not _may_read_metrics(request):
        token_set = bool(settings.ENV.metrics_token)
        return HttpResponse(
            "Metrics are for this machine only; others need CHATBOT_METRICS_TOKEN as a bearer "
            "token (docs/operations.md).\n",
            status=401 if token_set else 403,
            content_type="text/plain; charset=utf-8",
            headers={"WWW-Authenticate": "Bearer"} if token_set else None,
        )
    return _not_stored(HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST))


def _may_read_metrics(request: HttpRequest) -> bool:
    token = settings.ENV.metrics_token
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if token and scheme.lower() == "bearer":
        return secrets.compare_digest(given.strip().encode(), token.encode())
    return _is_local(request)


def _is_local(request: HttpRequest) -> bool:
    """Whether a program on this machine asks directly, and not a proxy on behalf of the world."""
    if any(header in request.headers for header in FORWARDING_HEADERS):
        return False
    host = request.get_host().rsplit(":", 1)[0].strip("[]")
    return _is_loopback(request.META.get("REMOTE_ADDR", "")) and (
        host == "localhost" or _is_loopback(host)
    )


def _is_loopback(address: str) -> bool:
    parsed = address_parsed(address)
    return parsed is not None and parsed.is_loopback


def _database_states() -> tuple[str, str]:
    """States of the database and of its migrations; these are read until all are applied."""
    global _migrations_applied  # noqa: PLW0603
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not _migrations_applied:
            executor = MigrationExecutor(connection)
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
            _migrations_applied = not plan
    except Error:
        logger.exception("the database does not answer")
        return "failed", "unknown"
    return "ok", "ok" if _migrations_applied else "missing"


def _not_stored(response: HttpResponse) -> HttpResponse:
    patch_cache_control(response, no_store=True)
    return response
