"""The REST API against its own OpenAPI schema, on a running server."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import ROOT, Server, environment

_MAKE_TOKEN = """
import django
django.setup()
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
print(Token.objects.create(user=User.objects.create_user("program")).key)
"""


@pytest.fixture(scope="module")
def server(server_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    rates = {"CHATBOT_CONVERSATION_RATE": "1000/hour", "CHATBOT_MESSAGE_RATE": "1000/minute"}
    path = tmp_path_factory.mktemp("api") / "db.sqlite3"
    with Server(path, server_template, DEBUG="true", **rates) as server:
        yield server


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    made = subprocess.run(
        [sys.executable, "-c", _MAKE_TOKEN],
        cwd=ROOT,
        env=environment(server.database),
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.strip()


def test_every_answer_fits_the_schema(server: Server, token: str, tmp_path: Path) -> None:
    # That a text consists of nothing but control characters is beyond what a schema can forbid.
    arguments = ["--exclude-checks", "positive_data_acceptance", "--max-examples", "8"]
    result = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", "--no-color"),
            *("--header", f"Authorization: Bearer {token}", "--seed", "1", *arguments),
            f"{server.url}/api/schema/",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:]


def test_what_may_be_null_is_said_as_openapi_3_1_does(server: Server) -> None:
    accepted = {"Accept": "application/vnd.oai.openapi+json"}
    schema = httpx.get(f"{server.url}/api/schema/", headers=accepted)
    assert "nullable" not in schema.text
    page = schema.json()["components"]["schemas"]["PaginatedConversationList"]["properties"]
    assert page["next"]["type"] == page["previous"]["type"] == ["string", "null"]


@pytest.mark.parametrize("path", ["/api/schema/", "/static/conversations/chat.css"])
def test_head_says_how_long_the_answer_is_and_sends_none_of_it(server: Server, path: str) -> None:
    length = len(httpx.get(f"{server.url}{path}", headers={"Accept-Encoding": "identity"}).content)
    head, rest = head_and_rest(server, path)
    assert f"\r\nContent-Length: {length}\r\n" in head
    assert rest.startswith("HTTP/1.1 200 OK\r\n")


def test_head_of_an_event_stream_sends_none_of_it(server: Server, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{server.url}/api/v1/conversations/", headers=headers) as client:
        path = f"{client.post('', json={}).json()['id']}/messages/"
        reply = client.post(path, json={"text": "Hello"}, timeout=60).json()["reply"]
    head, rest = head_and_rest(server, f"/api/v1/conversations/{path}{reply['id']}/events/", token)
    assert "\r\nContent-Type: text/event-stream" in head
    assert rest.startswith("HTTP/1.1 200 OK\r\n")


def head_and_rest(server: Server, path: str, token: str = "") -> tuple[str, str]:
    """The head of the answer to HEAD, and what comes after it on the connection: the answer to
    the next request, if all is well."""
    host = f"Host: 127.0.0.1:{server.port}\r\n"
    asker = f"Authorization: Bearer {token}\r\n" if token else ""
    asked = f"HEAD {path} HTTP/1.1\r\n{host}{asker}\r\n"
    asked += f"GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(asked.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, rest = answer.partition("\r\n\r\n")
    return head, rest


def test_a_body_that_comes_in_chunks_is_read_and_may_not_be_longer(
    server: Server, token: str
) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def post(*chunks: bytes) -> httpx.Response:
        path = f"{server.url}/api/v1/conversations/"
        return httpx.post(path, content=iter(chunks), headers=headers, timeout=60)

    started = post(b'{"persona": 2, "ti', b'tle": "The bus"}')
    assert started.request.headers["Transfer-Encoding"] == "chunked"
    assert started.status_code == 201
    body = started.json()
    assert (body["persona"]["id"], body["title"]) == (2, "The bus")
    long = post(b'{"title": "', *[b"x" * 100_000] * 20, b'"}')
    assert (long.status_code, long.json()["code"]) == (413, "too_long")


def test_the_schema_generates_without_warnings() -> None:
    subprocess.run(
        [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn"],
        check=True,
        capture_output=True,
    )


def test_a_program_written_from_the_documentation_works(
    server: Server, token: str, tmp_path: Path
) -> None:
    page = Path("docs/api.md").read_text()
    example = page.split("```python\n", 1)[1].split("```", 1)[0]
    program = tmp_path / "example.py"
    program.write_text(example)
    result = subprocess.run(
        [sys.executable, str(program)],
        env={**environment(server.database), "CHATBOT_URL": server.url, "CHATBOT_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.strip().splitlines()) >= 3
    subprocess.run([sys.executable, "-m", "mypy", "--strict", str(program)], check=True)


def test_the_documentation_page_serves_its_own_assets(server: Server) -> None:
    page = httpx.get(f"{server.url}/api/docs/")
    assert page.status_code == 200
    assert "http://" not in page.text.replace(server.url, "")
    assert "https://" not in page.text
