"""How a server begins and ends, as it should and otherwise."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.conversations.clients import open_socket, say, until
from tests.servers import ROOT, Server, SlowServer, environment

BUNDLE = ROOT / "inference" / "bundles" / "default"


def column(database: Path, name: str) -> list[str]:
    """A column of the messages, in their order."""
    query = f"SELECT {name} FROM conversations_message ORDER BY id"
    with closing(sqlite3.connect(database)) as connection:
        return [value for (value,) in connection.execute(query)]


def statuses(database: Path) -> list[str]:
    return column(database, "status")


async def test_a_killed_server_leaves_nothing_half_done(
    server_template: Path, tmp_path: Path
) -> None:
    database, client_id = tmp_path / "db.sqlite3", str(uuid4())
    with SlowServer(database, server_template) as slow:
        conversation, cookie = slow.visit()
        async with open_socket(slow, conversation, cookie) as socket:
            await say(socket, "Tell me a story.", client_id)
            await until(socket, "reply.token")
            await say(socket, "And another.")
            await until(socket, "message.saved")
            slow.kill()
    assert statuses(database) == ["complete", "streaming", "complete", "pending"]

    with Server(database) as server:
        assert statuses(database) == ["complete", "interrupted", "complete", "interrupted"]
        async with open_socket(server, conversation, cookie) as socket:
            state = (await until(socket, "conversation.state"))[0]
            assert [message["status"] for message in state["messages"]] == statuses(database)
            await say(socket, "Tell me a story.", client_id)
            frames = await until(socket, "reply.end")
    assert frames[0]["message_id"] == state["messages"][0]["id"]
    assert frames[-1]["message_id"] == state["messages"][1]["id"]
    assert frames[-1]["status"] == "complete"


async def test_an_ordered_stop_keeps_what_was_written(
    server_template: Path, tmp_path: Path
) -> None:
    database = tmp_path / "db.sqlite3"
    with SlowServer(database, server_template) as server:
        conversation, cookie = server.visit()
        async with open_socket(server, conversation, cookie) as socket:
            await say(socket, "Tell me a story.")
            await until(socket, "reply.token")
            assert server.stop() == 0
    assert statuses(database) == ["complete", "interrupted"]
    assert column(database, "text")[1].startswith("Well")
    log = "".join(server.log)
    assert "Traceback" not in log
    assert "destroyed" not in log


@pytest.mark.parametrize("damage", ["missing", "incomplete", "damaged"])
def test_without_its_model_the_server_says_why_and_ends(
    server_template: Path, tmp_path: Path, damage: str
) -> None:
    bundle = tmp_path / "bundle"
    if damage != "missing":
        shutil.copytree(BUNDLE, bundle)
    if damage == "incomplete":
        (bundle / "tokenizer.json").unlink()
    if damage == "damaged":
        with (bundle / "model.onnx").open("r+b") as file:
            file.write(b"\x00\x01\x02\x03")
    ended = serve_once(server_template, CHATBOT_BUNDLE=str(bundle))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("The model cannot be served: ")
    assert str(bundle) in ended.stderr


def test_a_model_that_cannot_be_loaded_is_told_from_the_first_question_on(
    server_template: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(BUNDLE, tmp_path / "bundle")
    (bundle / "model.onnx").write_bytes(b"no model")
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["files"]["model.onnx"] = {
        "sha256": hashlib.sha256(b"no model").hexdigest(),
        "bytes": len(b"no model"),
    }
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    with Server(tmp_path / "db.sqlite3", server_template, CHATBOT_BUNDLE=str(bundle)) as server:
        deadline = time.monotonic() + 30
        while not any("the engine cannot be loaded" in line for line in server.log):
            assert time.monotonic() < deadline, server.log
            time.sleep(0.05)
        assert httpx.get(f"{server.url}/readyz").json()["engine"] == "failed"


def test_without_its_tables_the_server_says_so_and_ends(tmp_path: Path) -> None:
    ended = serve_once(tmp_path / "empty.sqlite3")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "manage.py migrate" in ended.stderr


def serve_once(database: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daphne", "-p", "0", "chatbot_site.asgi:application"],
        cwd=ROOT,
        env=environment(database, **variables),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_port_that_is_taken_is_said_with_what_to_do_before_anything_is_served(
    server_template: Path, tmp_path: Path
) -> None:
    database = Path(shutil.copy(server_template, tmp_path / "db.sqlite3"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = serve(database, PORT=port, CHATBOT_TEMPRATURE="1")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert f"CommandError: Nobody can listen on port {port} of 127.0.0.1: " in ended.stderr
    assert "PORT sets another port" in ended.stderr
    # Names that are misspelt are told as the site starts, not only to whoever asks for it.
    assert "Did you mean CHATBOT_TEMPERATURE?" in ended.stderr


def test_a_gpu_that_is_asked_for_by_name_and_does_not_work_ends_the_server(
    server_template: Path,
) -> None:
    ended = serve_once(server_template, CHATBOT_DEVICE="cuda", CUDA_VISIBLE_DEVICES="")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("The model cannot be served: ")
    assert "Traceback" not in ended.stderr


def serve(database: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=environment(database, **variables),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
