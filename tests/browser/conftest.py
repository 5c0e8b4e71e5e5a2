"""A real browser against the real server with the real model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.chat import Person
from tests.browser.server import ChatServer

BROWSER_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NewPerson = Callable[..., Person]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One browser for all of these tests: they run in one process and one after the other."""
    here = Path(__file__).parent
    mine = [item for item in items if item.path.is_relative_to(here)]
    for item in mine:
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.xdist_group("browser"))
    # Playwright's synchronous interface occupies its thread's event loop until it is stopped,
    # which happens when the last test of this package is done.
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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatServer]:
    """The site with its default settings."""
    server = ChatServer(tmp_path_factory.mktemp("server"))
    server.prepare()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def small_server(
    server: ChatServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChatServer]:
    """A site that answers one chat at a time, lets three wait, and rambles."""
    directory = tmp_path_factory.mktemp("small_server")
    small = ChatServer(
        directory,
        CHATBOT_MAX_BATCH="1",
        CHATBOT_MAX_QUEUE="3",
        CHATBOT_MAX_TOKENS="150",
        CHATBOT_TEMPERATURE="5",
        CHATBOT_TOP_K="64",
        CHATBOT_TOP_P="1",
        CHATBOT_MESSAGE_RATE="6/3second",
    )
    small.prepare()
    small.restart()
    yield small
    small.stop()


@pytest.fixture
def new_person(browser: Browser, server: ChatServer) -> Iterator[NewPerson]:
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
