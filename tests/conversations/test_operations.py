"""What machines ask the site: healthz, readyz, metrics."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from conversations import operations
from conversations.models import Channel
from conversations.services.conversations import conversation_start
from conversations.services.engine import EngineLoader, engine
from conversations.services.owners import Owner
from inference.engine import Engine
from inference.params import EngineConfig
from tests.conversations.processes import run

TOKEN = "metrics-token-of-thirty-two-characters-or-more"


@pytest.fixture
def broken_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The site with an engine whose bundle is missing."""
    broken = Engine(EngineConfig(bundle_dir=tmp_path / "missing"))
    serve(broken, monkeypatch)
    return broken


def serve(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conversations.services.engine.engine", lambda: engine)
    monkeypatch.setattr(operations, "engine_loader", EngineLoader())


def asked_while_loading(client: Client) -> Any:
    """The first answer of `/readyz` that is not that the engine is being loaded."""
    deadline = time.monotonic() + 60
    while (response := client.get("/readyz")).json()["engine"] == "loading":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return response


def local(client: Client, path: str, **extra: Any) -> Any:
    """Asked by a program on the same machine."""
    return client.get(path, **{"headers": {"host": "localhost:8000"}, **extra})


def samples(client: Client) -> dict[str, float]:
    text = local(client, "/metrics").content.decode()
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class TestHealth:
    def test_answers_without_the_database(self, client: Client) -> None:
        response = client.get("/healthz")
        assert (response.status_code, response.content) == (200, b"ok\n")
        assert response["Cache-Control"] == "no-store"

    def test_nothing_but_reading(self, client: Client) -> None:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert client.post(path).status_code == 405


class TestReadiness:
    @pytest.mark.django_db
    def test_ready_with_the_engine_loaded(self, client: Client) -> None:
        engine().load()
        response = client.get("/readyz")
        assert response.status_code == 200
        assert response.json() == {
            "status": "ready",
            "database": "ok",
            "migrations": "ok",
            "engine": "ok",
        }

    @pytest.mark.django_db
    def test_asking_loads_the_engine(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        fresh = Engine(engine().config)
        serve(fresh, monkeypatch)
        response = client.get("/readyz")
        assert response.status_code == 503
        assert response.json()["engine"] == "loading"
        assert asked_while_loading(client).status_code == 200
        fresh.close()

    @pytest.mark.django_db
    def test_a_bundle_that_cannot_be_loaded(
        self, client: Client, broken_engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert client.get("/readyz").json()["engine"] == "loading"
        response = asked_while_loading(client)
        assert response.status_code == 503
        assert response.json()["engine"] == "failed"
        assert "missing" not in response.content.decode()
        assert "no such bundle directory" in caplog.text

    @pytest.mark.parametrize(
        ("is_directory", "expected"),
        [
            (True, {"database": "failed", "migrations": "unknown"}),
            (False, {"database": "ok", "migrations": "missing"}),
        ],
    )
    def test_a_database_that_is_not_usable(
        self, tmp_path: Path, is_directory: bool, expected: dict[str, str]
    ) -> None:
        path = tmp_path / "database"
        if is_directory:
            path.mkdir()
        code = (
            "import django; django.setup(); from django.test import Client;"
            "r = Client().get('/readyz', headers={'host': 'localhost'});"
            "print(r.status_code, r.content.decode())"
        )
        result = run("-c", code, DATABASE_URL=f"sqlite:///{path}")
        status, body = result.stdout.split(maxsplit=1)
        assert status == "503"
        assert expected.items() <= json.loads(body).items()


class TestMetrics:
    @pytest.mark.django_db
    def test_what_happens_is_counted(self, client: Client, persona: object) -> None:
        name = "chatbot_conversations_started_total[terminal]"
        before = samples(client).get(name, 0)
        conversation_start(channel=Channel.TERMINAL, owner=Owner())
        after = samples(client)
        assert after[name] == before + 1
        assert {
            "chatbot_engine_loaded",
            "chatbot_engine_running",
            "chatbot_engine_waiting",
            "chatbot_engine_slots",
            "chatbot_engine_kv_cache_bytes",
            "chatbot_tokens_generated_total",
            "chatbot_reply_first_token_seconds_sum",
            "chatbot_reply_duration_seconds_count",
            "chatbot_websocket_connections",
            "process_resident_memory_bytes",
        } <= after.keys()

    def test_asking_loads_no_model_and_no_database(
        self, client: Client, broken_engine: Engine
    ) -> None:
        assert samples(client)["chatbot_engine_loaded"] == 0

    @pytest.mark.parametrize(
        ("headers", "peer"),
        [
            ({"host": "localhost"}, "203.0.113.7"),
            ({"host": "testserver"}, "127.0.0.1"),
            ({"host": "localhost"}, ""),
            ({"host": "localhost", "x-forwarded-for": "127.0.0.1"}, "127.0.0.1"),
            ({"host": "localhost", "x-forwarded-proto": "https"}, "127.0.0.1"),
            ({"host": "localhost", "x-real-ip": "127.0.0.1"}, "127.0.0.1"),
            ({"host": "localhost", "forwarded": "for=127.0.0.1"}, "127.0.0.1"),
            ({"host": "localhost", "via": "1.1 proxy"}, "127.0.0.1"),
            ({"host": "localhost", "authorization": "Bearer "}, "203.0.113.7"),
        ],
    )
    def test_others_and_whatever_comes_through_a_proxy_are_refused(
        self, client: Client, headers: dict[str, str], peer: str
    ) -> None:
        response = client.get("/metrics", headers=headers, REMOTE_ADDR=peer)
        assert response.status_code == 403
        assert b"process_" not in response.content
        assert b"CHATBOT_METRICS_TOKEN" in response.content

    @pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000"])
    def test_this_machine_may_ask(self, client: Client, peer: str, host: str) -> None:
        response = client.get("/metrics", headers={"host": host}, REMOTE_ADDR=peer)
        assert response.status_code == 200
        assert response["Content-Type"].startswith("text/plain; version=")

    def test_the_token_opens_it_from_anywhere(self, client: Client, settings: Settings) -> None:
        settings.ENV = settings.ENV.model_copy(update={"metrics_token": TOKEN})
        statuses = {}
        for given in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer {TOKEN}x", "Bearer é", ""):
            headers = {"authorization": given, "x-forwarded-for": "203.0.113.7"}
            response = client.get("/metrics", headers=headers)
            statuses[given] = response.status_code
        assert list(statuses.values()) == [200, 200, 401, 401, 401]
        assert response["WWW-Authenticate"] == "Bearer"
        assert local(client, "/metrics").status_code == 200
