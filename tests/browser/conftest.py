"""A real browser against the real server with the real model."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest
from filelock import FileLock
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chat import Person
from tests.servers import ROOT, Server, environment

BROWSER_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NewPerson = Callable[..., Person]
# What `slow_server` lets in at once takes longer than a minute when nobody stops it.
QUIET_SECONDS = 90.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests go first and one after the other.

    Playwright's synchronous interface occupies its thread's event loop until it is stopped, which
    happens when the last test of this package is done.
    """
    here = Path(__file__).parent
    mine = [item for item in items if item.path.is_relative_to(here)]
    for item in mine:
        item.add_marker(pytest.mark.browser)
    others = [item for item in items if not item.path.is_relative_to(here)]
    items[:] = mine + others


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "These tests need Debian's chromium: apt install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(BROWSER_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def database(server_template: Path) -> Path:
    """A database to copy, and the static files collected as `manage.py serve` does it."""
    command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity=0"]
    with FileLock(ROOT / "var" / "static.lock"):  # other processes run these tests too
        subprocess.run(command, cwd=ROOT, env=environment(server_template), check=True)
    return server_template


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """A site that ends in good order and has nothing to complain about."""
    with server:
        yield server
        server.stop()
    complaints = [line for line in server.log if re.search("Traceback|ERROR|CRITICAL", line)]
    assert not complaints, "".join(server.log)


@pytest.fixture(scope="package")
def server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The site with its default settings, but for the limits that so many tests would meet."""
    path = tmp_path_factory.mktemp("browser") / "db.sqlite3"
    rates = {"CHATBOT_CONVERSATION_RATE": "1000/hour", "CHATBOT_MESSAGE_RATE": "1000/minute"}
    with running(Server(path, database, **rates)) as server:
        yield server


class LongWindedServer(Server):
    """A server whose replies take seconds, unless somebody stops them."""

    APPLICATION = "tests.browser.long_winded:application"


@pytest.fixture(scope="package")
def slow_site(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What is behind `slow_server`."""
    path = tmp_path_factory.mktemp("slow") / "db.sqlite3"
    settings = {
        "CHATBOT_MAX_BATCH": "1",
        "CHATBOT_MAX_QUEUE": "2",
        "CHATBOT_MAX_TOKENS": "400",
    }
    with running(LongWindedServer(path, database, **settings)) as server:
        yield server


@pytest.fixture
def slow_server(slow_site: Server) -> Server:
    """A site that answers one chat at a time, at length, and lets two more wait.

    It runs and answers nobody yet, whatever a test that failed has left there.
    """
    slow_site.ensure_started()
    until_answering(slow_site, 0, waiting=0)
    return slow_site


def until_answering(server: Server, running: int, *, waiting: int) -> None:
    """Wait until so many replies are being written and so many wait for their turn."""
    wanted = f"chatbot_engine_running {running:.1f}", f"chatbot_engine_waiting {waiting:.1f}"
    deadline = time.monotonic() + QUIET_SECONDS
    while not set(wanted) <= set(httpx.get(f"{server.url}/metrics").text.splitlines()):
        assert time.monotonic() < deadline, wanted
        time.sleep(0.05)


@pytest.fixture(scope="package")
def frail_site(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What is behind `frail_server`."""
    path = tmp_path_factory.mktemp("frail") / "db.sqlite3"
    with running(Server(path, database, CHATBOT_MESSAGE_RATE="4/6second")) as server:
        yield server


@pytest.fixture
def frail_server(frail_site: Server) -> Server:
    """A site that tests kill and start again, with a rate limit that is quickly met.

    It runs, even if a test that failed has left it dead.
    """
    return frail_site.ensure_started()


def sign_in_as_staff(person: Person, server: Server) -> None:
    """With an account of their own that may read everything: a test that is run again makes another
    on the same site."""
    name, password = f"reader-{token_hex(4)}", "a password for tests"
    command = [sys.executable, "manage.py", "createsuperuser", "--no-input", "--username", name]
    secret = environment(server.database, DJANGO_SUPERUSER_PASSWORD=password)
    subprocess.run([*command, "--email", ""], cwd=ROOT, env=secret, check=True)
    person.visit("/sign-in/")
    person.page.get_by_label("Username").fill(name)
    person.page.get_by_label("Password").fill(password)
    person.page.get_by_role("button", name="Sign in").click()
    expect(person.page.get_by_role("button", name="Sign out")).to_be_visible()


@pytest.fixture
def new_person(browser: Browser, server: Server) -> Iterator[NewPerson]:
    """Makes people, each with a browser of their own; options are those of a browser context."""
    people: list[Person] = []

    def new(url: str = server.url, **options: Any) -> Person:
        options = {"viewport": {"width": 1280, "height": 800}, **options}
        person = Person(browser.new_context(**options), url)
        people.append(person)
        return person

    yield new
    for person in people:
        person.leave()


@pytest.fixture
def person(new_person: NewPerson) -> Person:
    return new_person()
