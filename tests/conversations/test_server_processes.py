"""Several server processes with Redis between them act as one."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest
from channels_redis.core import RedisChannelLayer

from tests.conversations.clients import joined, open_socket, say, until
from tests.servers import Server, SlowServer, free_port, redis_server


@pytest.fixture(scope="module")
def two_servers(
    server_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    folder = tmp_path_factory.mktemp("two")
    database = folder / "db.sqlite3"
    with (
        redis_server(folder) as url,
        SlowServer(database, server_template, REDIS_URL=url) as slow,
        Server(database, REDIS_URL=url) as quick,
    ):
        yield slow, quick


async def test_a_reply_of_one_process_is_seen_and_stopped_in_the_other(
    two_servers: tuple[Server, Server],
) -> None:
    slow, quick = two_servers
    conversation, cookie = slow.visit()
    async with (
        open_socket(slow, conversation, cookie) as here,
        open_socket(quick, conversation, cookie) as there,
    ):
        await until(there, "conversation.state")
        await say(here, "Hello?")
        saved, start, token = await until(there, "reply.token")
        assert (saved["type"], saved["text"]) == ("message.saved", "Hello?")
        assert start["type"] == "reply.start"
        stop = {"type": "reply.stop", "message_id": token["message_id"]}
        await there.send(json.dumps(stop))
        ours, theirs = await asyncio.gather(until(here, "reply.end"), until(there, "reply.end"))

    assert ours[-1] == theirs[-1]
    assert ours[-1]["status"] == "stopped"
    assert joined([token, *theirs]) == joined(ours) == ours[-1]["text"]
    seqs = [frame["seq"] for frame in [token, *theirs] if frame["type"] == "reply.token"]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_who_comes_late_to_another_process_gets_the_whole_reply(
    two_servers: tuple[Server, Server],
) -> None:
    slow, quick = two_servers
    conversation, cookie = slow.visit()
    async with open_socket(slow, conversation, cookie) as here:
        await say(here, "Hello?")
        for _ in range(5):
            await until(here, "reply.token")
        async with open_socket(quick, conversation, cookie) as there:
            state, *frames = await until(there, "reply.token")
            reply = state["messages"][1]
            assert reply["status"] in {"pending", "streaming"}
            resume = {"type": "reply.resume", "message_id": reply["id"], "after_seq": 2}
            await there.send(json.dumps(resume))
            await until(there, "reply.token")
            await there.send(json.dumps({"type": "reply.stop", "message_id": reply["id"]}))
            end = (await until(there, "reply.end"))[-1]
            assert end["status"] == "stopped"
            await there.send(json.dumps({**resume, "after_seq": 0}))
            again = await until(there, "reply.end")
        assert frames[-1]["seq"] == 1
        assert joined(again) == end["text"]
        assert (await until(here, "reply.end"))[-1] == end


async def test_messages_through_both_processes_are_answered_in_order(
    two_servers: tuple[Server, Server],
) -> None:
    slow, quick = two_servers
    conversation, cookie = slow.visit()
    async with (
        open_socket(slow, conversation, cookie) as here,
        open_socket(quick, conversation, cookie) as there,
    ):
        await until(there, "conversation.state")  # else this process might answer it as well
        await say(here, "first")
        first = (await until(here, "reply.token"))[-1]["message_id"]
        await say(there, "second")
        await until(here, "message.saved")
        await here.send(json.dumps({"type": "reply.stop", "message_id": first}))
        ends = [(await until(there, "reply.end"))[-1] for _ in range(2)]
    assert [end["status"] for end in ends] == ["stopped", "complete"]
    assert ends[0]["message_id"] == first


async def test_a_reset_takes_the_tabs_of_all_processes_along(
    two_servers: tuple[Server, Server],
) -> None:
    slow, quick = two_servers
    conversation, cookie = slow.visit()
    async with (
        open_socket(slow, conversation, cookie) as here,
        open_socket(quick, conversation, cookie) as there,
    ):
        await until(there, "conversation.state")
        await here.send(json.dumps({"type": "conversation.reset"}))
        resets = await asyncio.gather(
            until(here, "conversation.reset"), until(there, "conversation.reset")
        )
    assert resets[0][-1] == resets[1][-1]


async def test_a_message_that_a_process_cannot_understand_does_not_make_it_deaf(
    two_servers: tuple[Server, Server],
) -> None:
    slow, quick = two_servers
    conversation, cookie = slow.visit()
    number = UUID(conversation).hex
    newer = {"kind": "ConversationReset", "from": "a newer process", "event": {"to": "anybody"}}
    layer = RedisChannelLayer(hosts=[slow.variables["REDIS_URL"]])
    async with (
        open_socket(slow, conversation, cookie) as here,
        open_socket(quick, conversation, cookie) as there,
    ):
        await until(there, "conversation.state")
        await layer.group_send(f"conversation.{number}", {**newer, "conversation": number})
        await layer.close_pools()
        await here.send(json.dumps({"type": "conversation.reset"}))
        await until(there, "conversation.reset")
    assert any("cannot be understood" in line for line in quick.log)


async def test_one_message_sent_through_both_processes_at_once_is_answered_once(
    two_servers: tuple[Server, Server],
) -> None:
    slow, quick = two_servers
    conversation, cookie = slow.visit()
    client_id = "0f8fad5b-d9cb-469f-a165-70867728950e"
    async with (
        open_socket(slow, conversation, cookie) as here,
        open_socket(quick, conversation, cookie) as there,
    ):
        await asyncio.gather(*(say(socket, "Hello", client_id) for socket in (here, there)))
        token = (await until(here, "reply.token"))[-1]
        await here.send(json.dumps({"type": "reply.stop", "message_id": token["message_id"]}))
        ours, theirs = await asyncio.gather(until(here, "reply.end"), until(there, "reply.end"))
        assert ours[-1] == theirs[-1]
        async with open_socket(quick, conversation, cookie) as again:
            state = (await until(again, "conversation.state"))[0]
    assert len(state["messages"]) == 2


async def test_when_its_process_dies_a_reply_can_be_asked_for_again(
    server_template: Path, tmp_path: Path
) -> None:
    database, client_id = tmp_path / "db.sqlite3", "0f8fad5b-d9cb-469f-a165-70867728950e"
    with redis_server(tmp_path) as url:
        variables = {"REDIS_URL": url, "CHATBOT_REPLY_TIMEOUT": "1"}
        with SlowServer(database, server_template, **variables) as slow:
            conversation, cookie = slow.visit()
            async with open_socket(slow, conversation, cookie) as here:
                await say(here, "Hello?", client_id)
                await until(here, "reply.token")
                slow.kill()
        with Server(database, None, **variables) as quick:
            async with open_socket(quick, conversation, cookie) as there:
                # Nobody can know at once that no process writes it any more.
                frames = await until(there, "reply.end")
                assert frames[-1]["status"] == "interrupted"
                await say(there, "Hello?", client_id)
                assert (await until(there, "reply.end"))[-1]["status"] == "complete"


async def test_what_a_dead_process_left_is_settled_without_anybody_looking(
    server_template: Path, tmp_path: Path
) -> None:
    database = tmp_path / "db.sqlite3"

    def statuses() -> set[str]:
        with sqlite3.connect(database) as connection:
            rows = connection.execute("SELECT status FROM conversations_message WHERE role='bot'")
            return {status for (status,) in rows}

    with redis_server(tmp_path) as url:
        variables = {"REDIS_URL": url, "CHATBOT_REPLY_TIMEOUT": "1"}
        with SlowServer(database, server_template, **variables) as slow:
            conversation, cookie = slow.visit()
            async with open_socket(slow, conversation, cookie) as here:
                await say(here, "Hello?")
                await until(here, "reply.token")
                slow.kill()
        with Server(database, None, **variables) as quick:
            assert statuses() == {"streaming"}
            # Listening for as long as Redis' own limit makes no noise.
            async with open_socket(quick, *quick.visit()), asyncio.timeout(30):
                while statuses() != {"interrupted"}:
                    await asyncio.sleep(0.2)
            assert not [line for line in quick.log if "ERROR" in line], quick.log


async def test_after_redis_has_been_started_anew_processes_hear_each_other_again(
    server_template: Path, tmp_path: Path
) -> None:
    database, port = tmp_path / "db.sqlite3", free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with ExitStack() as redis:
        redis.enter_context(redis_server(tmp_path, port))
        with (
            Server(database, server_template, REDIS_URL=url) as one,
            Server(database, REDIS_URL=url) as other,
        ):
            conversation, cookie = one.visit()
            async with (
                open_socket(one, conversation, cookie) as here,
                open_socket(other, conversation, cookie) as there,
            ):
                await asyncio.gather(
                    *(until(socket, "conversation.state") for socket in (here, there))
                )
                redis.close()
                await say(here, "Does anybody hear me?")
                await until(here, "reply.end")
                redis.enter_context(redis_server(tmp_path, port))
                async with asyncio.timeout(60):
                    heard = asyncio.create_task(until(there, "reply.end"))
                    while not heard.done():
                        await say(here, "And now?")
                        await until(here, "reply.end")
                        await asyncio.wait([heard], timeout=1)
            assert (await heard)[-1]["status"] == "complete"
            lines = [line for line in one.log if "other processes cannot be reached" in line]
            assert 1 <= len(lines) < 5
