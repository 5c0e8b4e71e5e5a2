"""The chat on a real daphne."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.conversations.clients import open_socket, say, until
from tests.servers import Server


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
