"""manage.py chat: through a pipe and in a terminal, with the real model."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from chatbot_site.env import BASE_DIR
from conversations.models import Conversation, Message, Persona, Role, Status
from conversations.terminal import ReplyFailed, SavedChat, UnsavedChat
from inference.errors import EngineBusy
from tests.conversations.processes import database_make, environment, run
from tests.fakes import FakeEngine

HELLO = "hello there\nwhat do you do?\n"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return database_make(tmp_path_factory.mktemp("chat") / "db.sqlite3")


def chat(database: str, *arguments: str, stdin: str = HELLO) -> subprocess.CompletedProcess[str]:
    return run("manage.py", "chat", *arguments, stdin=stdin, DATABASE_URL=database)


def rows(database: str, query: str, *values: object) -> list[tuple[object, ...]]:
    with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
        found = connection.execute(query, values).fetchall()
    connection.close()
    return found


class TestPipe:
    def test_replies_one_a_line_and_the_conversation_is_saved(self, database: str) -> None:
        result = chat(database, "--persona", "1")
        assert (result.returncode, result.stderr) == (0, "")
        replies = result.stdout.splitlines()
        assert len(replies) == 2
        assert all(replies)
        conversation, channel = rows(
            database,
            "SELECT id, channel FROM conversations_conversation ORDER BY created_at DESC",
        )[0]
        said = rows(
            database,
            "SELECT role, text, status FROM conversations_message WHERE conversation_id = ? "
            "ORDER BY id",
            conversation,
        )
        assert channel == "terminal"
        assert said == [
            ("user", "hello there", "complete"),
            ("bot", replies[0], "complete"),
            ("user", "what do you do?", "complete"),
            ("bot", replies[1], "complete"),
        ]

    @pytest.mark.parametrize("seed", ["7", str(2**63 - 1)])
    def test_nothing_is_saved_on_request_and_a_seed_repeats_the_chat(
        self, database: str, seed: str
    ) -> None:
        before = rows(database, "SELECT count(*) FROM conversations_message")
        first, second = (chat(database, "--no-save", "--seed", seed) for _ in range(2))
        assert rows(database, "SELECT count(*) FROM conversations_message") == before
        assert first.stdout == second.stdout
        assert len(first.stdout.splitlines()) == 2
        assert chat(database, "--seed", seed).stdout == first.stdout

    def test_commands(self, database: str) -> None:
        stdin = "/who\n\n/HELP\n/reset\n/who\n/quit\nnever said\n"
        result = chat(database, "--persona", "brenda", stdin=stdin)
        lines = result.stdout.splitlines()
        assert result.returncode == 0
        assert lines[:3] == ["Brenda (number 1)", "  I drive a night bus.", "  My cat hates boats."]
        assert "/reset   start again with another character" in lines
        assert lines[-4:] == [
            "Somebody else is here now.",
            "Otto (number 2)",
            "  I sell hats.",
            "  I am very tall.",
        ]

    @pytest.mark.parametrize(
        ("arguments", "stdin", "message"),
        [
            (["--persona", "99"], "", "There is no character number 99."),
            (["--persona", "Zoe"], "", "There is no character called 'Zoe'."),
            (["--persona", "bren"], "", "Nobody is called exactly 'bren'; close are: 1 Brenda"),
            ([], "x" * 1001, "A message may have 1,000 characters; this one has 1,001."),
            ([], "/dance\n", "There is no /dance; /help lists what there is."),
        ],
    )
    def test_mistakes_are_one_line(
        self, database: str, arguments: list[str], stdin: str, message: str
    ) -> None:
        result = chat(database, *arguments, stdin=stdin)
        assert result.returncode == 1
        assert result.stderr.startswith(f"CommandError: {message}")
        assert len(result.stderr.splitlines()) == 1

    @pytest.mark.parametrize("seed", ["-1", str(2**63), "x"])
    def test_a_seed_that_no_reply_can_have_is_refused(self, database: str, seed: str) -> None:
        result = chat(database, "--no-save", "--seed", seed)
        assert (result.returncode, result.stdout) == (2, "")
        assert f"argument --seed: '{seed}' is not a number from 0 up" in result.stderr

    def test_without_a_model(self, database: str, tmp_path: Path) -> None:
        result = run(
            "manage.py", "chat", DATABASE_URL=database, CHATBOT_BUNDLE=str(tmp_path / "none")
        )
        assert result.returncode == 1
        assert result.stderr == f"CommandError: {tmp_path}/none: no such bundle directory.\n"

    def test_without_tables_and_without_characters(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/db.sqlite3"
        result = chat(url)
        assert result.returncode == 1
        assert result.stderr == (
            "CommandError: The database refuses: no such table: conversations_persona. "
            "`manage.py migrate` brings it up to date.\n"
        )
        assert run("manage.py", "migrate", DATABASE_URL=url).returncode == 0
        result = chat(url)
        assert result.returncode == 1
        assert result.stderr.startswith("CommandError: There is no character to talk to yet.")
        assert len(result.stderr.splitlines()) == 1

    @pytest.mark.parametrize("away", ["file", "server"])
    def test_without_a_database_that_runs(self, tmp_path: Path, away: str) -> None:
        file = tmp_path / "db.sqlite3"
        file.write_text("no database " * 100)
        urls = {"file": f"sqlite:///{file}", "server": "postgres://nobody@127.0.0.1:1/none"}
        result = chat(urls[away])
        assert result.returncode == 1
        assert result.stderr.startswith("CommandError: The database refuses: ")
        assert result.stderr.endswith(". Check DATABASE_URL, and that the database runs.\n")
        assert len(result.stderr.splitlines()) == 1


class Terminal:
    """The command in a pseudo-terminal, as a person has it."""

    def __init__(self, database: str, *arguments: str) -> None:
        self.screen, side = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "chat", *arguments],
            cwd=BASE_DIR,
            env=environment(DATABASE_URL=database, TERM="dumb"),
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            preexec_fn=self._own_terminal,  # noqa: PLW1509 - Ctrl-C needs a controlling terminal
        )
        os.close(side)
        self.shown = ""

    @staticmethod
    def _own_terminal() -> None:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read_until(self, *marks: str) -> None:
        """Wait until these are shown, one after the other; what follows is left for later."""
        for mark in marks:
            while mark not in self.shown:
                ready, _, _ = select.select([self.screen], [], [], 60)
                assert ready, f"{mark!r} did not come; so far: {self.shown!r}"
                self.shown += os.read(self.screen, 4096).decode(errors="replace")
            self.shown = self.shown.partition(mark)[2]

    def interrupt(self, mark: str) -> None:
        """Ctrl-C until it shows: Python misses one that comes just before it waits for keys."""
        for _ in range(20):
            self.type("\x03")
            if select.select([self.screen], [], [], 10)[0]:
                self.read_until(mark)
                return
        pytest.fail(f"{mark!r} did not come")

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.screen)


class TestTerminal:
    @pytest.fixture
    def terminal(self, database: str) -> Iterator[Terminal]:
        terminal = Terminal(database, "--seed", "1")
        yield terminal
        terminal.close()

    def test_a_person_talks_interrupts_and_leaves(self, terminal: Terminal) -> None:
        terminal.read_until("/help lists what else you can do.", "You: ")
        terminal.type("hello there\n")
        terminal.read_until("Stranger: ", "You: ")
        terminal.interrupt("(Ctrl-D or /quit leaves)")
        terminal.read_until("You: ")
        terminal.type("/who\n")
        terminal.read_until("(number ", "You: ")
        terminal.type("and then?\n")
        terminal.read_until("and then?\r\n")
        terminal.type("\x03")
        terminal.read_until("You: ")
        terminal.type("/dance\n")
        terminal.read_until("There is no /dance", "You: ")
        terminal.type("\x04")
        assert terminal.process.wait(timeout=60) == 0


class TestInterrupt:
    """Ctrl-C while a reply is being written, with an engine that waits for it."""

    @pytest.fixture
    def silent(self, monkeypatch: pytest.MonkeyPatch, fake_engine: FakeEngine) -> FakeEngine:
        monkeypatch.setattr("conversations.terminal.engine", lambda: fake_engine)
        return fake_engine

    async def read(self, pieces: AsyncIterator[str]) -> str:
        """The reply, interrupted as soon as it has begun."""
        text = ""
        async for piece in pieces:
            text += piece
            os.kill(os.getpid(), signal.SIGINT)
        return text

    @pytest.mark.django_db(transaction=True)
    async def test_a_saved_reply_is_stored_as_stopped(
        self, persona: Persona, silent: FakeEngine, rooms: object
    ) -> None:
        silent.play("I was ", asyncio.Event())
        chat = await sync_to_async(SavedChat)(persona, None)
        assert await self.read(await sync_to_async(chat.send)("hi")) == "I was "
        reply = await Message.objects.aget(role=Role.BOT)
        assert (reply.text, reply.status) == ("I was ", Status.STOPPED)
        await silent.calls[0].left.wait()

    @pytest.mark.django_db(transaction=True)
    async def test_an_unsaved_reply_is_remembered_as_far_as_it_got(
        self, persona: Persona, silent: FakeEngine
    ) -> None:
        silent.play("I was ", "going ", asyncio.Event())
        chat = UnsavedChat(persona, 5)
        assert (await self.read(chat.send("hi"))).startswith("I was ")
        await self.read(chat.send("go on"))
        said = [turn.text for turn in silent.calls[1].turns]
        assert said[0] == "hi"
        assert said[1].startswith("I was ")
        assert said[2] == "go on"
        assert [call.params.seed for call in silent.calls] == [5, 6]
        assert not await Conversation.objects.aexists()

    @pytest.mark.django_db(transaction=True)
    async def test_a_refusal_is_told(
        self, persona: Persona, silent: FakeEngine, rooms: object
    ) -> None:
        silent.play(EngineBusy(9, 3.0))
        chat = await sync_to_async(SavedChat)(persona, None)
        with pytest.raises(ReplyFailed, match="The model is busy with others"):
            await self.read(await sync_to_async(chat.send)("hi"))
        silent.play(EngineBusy(9, 3.0))
        with pytest.raises(ReplyFailed, match="8 requests are waiting already"):
            await self.read(UnsavedChat(persona, None).send("hi"))
