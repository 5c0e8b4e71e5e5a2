"""The chat on a real daphne, with a websocket client that none of us wrote."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.servers import ROOT, Server, environment

BUNDLE = ROOT / "inference" / "bundles" / "default"
PATIENCE = 30.0

Frame = dict[str, Any]


def open_socket(server: Server, conversation: str, cookie: str, **options: Any) -> connect:
    headers = {"Cookie": cookie, **options.pop("headers", {})}
    return connect(
        f"{server.websocket_url}/ws/c/{conversation}/", additional_headers=headers, **options
    )


async def until(socket: ClientConnection, kind: str) -> list[Frame]:
    frames: list[Frame] = []
    async with asyncio.timeout(PATIENCE):
        while not frames or frames[-1]["type"] != kind:
            frames.append(json.loads(await socket.recv()))
    return frames


async def say(socket: ClientConnection, text: str, client_id: str | None = None) -> None:
    frame = {"type": "message.send", "client_id": client_id or str(uuid4()), "text": text}
    await socket.send(json.dumps(frame))


def rows(server: Server) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(server.database)) as database:
        return database.execute(
            "SELECT role, status, text FROM conversations_message ORDER BY id"
        ).fetchall()


async def test_a_chat(live_server_process: Server) -> None:
    server = live_server_process
    conversation, cookie = server.visit()
    async with open_socket(server, conversation, cookie, origin=server.url) as socket:
        assert (await until(socket, "conversation.state"))[0]["messages"] == []
        for text in ("Hello!", "What do you do for a living?", "Do you like it? 🚌"):
            await say(socket, text)
            _, start, *tokens, end = await until(socket, "reply.end")
            assert start["type"] == "reply.start"
            assert [token["seq"] for token in tokens] == list(range(1, len(tokens) + 1))
            assert "".join(token["text"] for token in tokens) == end["text"] != ""
            assert end["status"] == "complete"


async def test_two_browsers_have_nothing_to_do_with_each_other(live_server_process: Server) -> None:
    server = live_server_process
    (mine, my_cookie), (theirs, their_cookie) = server.visit(), server.visit()
    for conversation, cookie in ((mine, their_cookie), (theirs, my_cookie), (mine, "")):
        with pytest.raises(InvalidStatus) as refusal:
            await open_socket(server, conversation, cookie)
        assert refusal.value.response.status_code == 403
    async with (
        open_socket(server, mine, my_cookie) as one,
        open_socket(server, theirs, their_cookie) as two,
    ):
        await asyncio.gather(say(one, "I am Ada"), say(two, "I am Grace"))
        frames = await asyncio.gather(until(one, "reply.end"), until(two, "reply.end"))
    ids = [{f["message_id"] for f in got if "message_id" in f} for got in frames]
    assert not ids[0] & ids[1]


async def test_foreign_pages_are_refused(live_server_process: Server) -> None:
    conversation, cookie = live_server_process.visit()
    with pytest.raises(InvalidStatus) as refusal:
        await open_socket(live_server_process, conversation, cookie, origin="https://evil.example")
    assert refusal.value.response.status_code == 403


@pytest.mark.parametrize(
    "path", ["/ws/c/6f1f6f0e-2f0e-4a0e-9b6e-0d6f5f4f3f2f/", "/ws/c/nonsense/", "/ws/", "/"]
)
async def test_unknown_addresses_are_refused(live_server_process: Server, path: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        await connect(f"{live_server_process.websocket_url}{path}")
    assert refusal.value.response.status_code == 403


async def test_enormous_frames_leave_the_socket_open(live_server_process: Server) -> None:
    conversation, cookie = live_server_process.visit()
    async with open_socket(live_server_process, conversation, cookie) as socket:
        client_id = str(uuid4())
        await say(socket, "x" * 1_000_000, client_id)
        error = (await until(socket, "error"))[-1]
        assert (error["code"], error["client_id"]) == ("too_long", client_id)
        await socket.send(b"\x00\xff" * 1000)
        assert (await until(socket, "error"))[-1]["code"] == "bad_json"
        await socket.send(json.dumps({"type": "ping"}))
        assert await until(socket, "pong") == [{"type": "pong"}]


async def test_a_reader_that_does_not_read_delays_nobody(live_server_process: Server) -> None:
    server = live_server_process
    conversation, cookie = server.visit()
    async with (
        open_socket(server, conversation, cookie, max_queue=1, close_timeout=0.1) as slow,
        open_socket(server, conversation, cookie) as quick,
    ):
        await say(slow, "Hello")
        end = (await until(quick, "reply.end"))[-1]
        resume = {"type": "reply.resume", "message_id": end["message_id"], "after_seq": 0}
        for _ in range(150):  # never reads what comes of it
            await slow.send(json.dumps(resume))
        await say(quick, "And now?")
        assert (await until(quick, "reply.end"))[-1]["status"] == "complete"


async def test_a_killed_server_leaves_nothing_half_done(
    server_template: Path, tmp_path: Path
) -> None:
    # So long that it cannot be finished before the signal arrives.
    long = {"CHATBOT_MAX_TOKENS": "400", "CHATBOT_THREADS": "1"}
    with Server(tmp_path / "db.sqlite3", server_template, **long) as server:
        conversation, cookie = server.visit()
        client_id = str(uuid4())
        async with open_socket(server, conversation, cookie) as socket:
            await say(socket, "Tell me a story.", client_id)
            await until(socket, "reply.token")
            server.kill()
        assert [row[:2] for row in rows(server)] == [("user", "complete"), ("bot", "streaming")]

    server.variables["CHATBOT_MAX_TOKENS"] = "5"
    with server.start():
        assert [row[:2] for row in rows(server)] == [("user", "complete"), ("bot", "interrupted")]
        async with open_socket(server, conversation, cookie) as socket:
            state = (await until(socket, "conversation.state"))[0]
            assert [m["status"] for m in state["messages"]] == ["complete", "interrupted"]
            await say(socket, "Tell me a story.", client_id)
            frames = await until(socket, "reply.end")
            assert frames[0]["message_id"] == state["messages"][0]["id"]
            assert frames[-1]["message_id"] == state["messages"][1]["id"]
            assert frames[-1]["status"] == "complete"


async def test_an_ordered_stop_keeps_what_was_written(
    server_template: Path, tmp_path: Path
) -> None:
    long = {"CHATBOT_MAX_TOKENS": "400", "CHATBOT_THREADS": "1"}
    with Server(tmp_path / "db.sqlite3", server_template, **long) as server:
        conversation, cookie = server.visit()
        async with open_socket(server, conversation, cookie) as socket:
            await say(socket, "Tell me a story.")
            token = (await until(socket, "reply.token"))[-1]
            assert server.stop() == 0
    (_, reply) = rows(server)
    assert reply[1] == "interrupted"
    assert reply[2].startswith(token["text"])
    assert "Traceback" not in "".join(server.log)
    assert "destroyed" not in "".join(server.log)


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
