"""What the page loads: little, only from here, under names that may be kept for ever."""

from __future__ import annotations

import re

from playwright.sync_api import Response, expect

from tests.browser.chat import Person

HASHED = re.compile(r"\.[0-9a-f]{12}\.(css|js|svg)(#.*)?$")
WHOLE_PAGE_BYTES = 50_000


def test_the_page_is_small_and_its_parts_stay_in_the_cache(person: Person) -> None:
    answers: list[Response] = []

    def received(answer: Response) -> None:
        answers.append(answer)

    person.page.on("response", received)
    person.start()
    expect(person.page.locator("#chat[data-live]")).to_be_visible()
    static = [answer for answer in answers if "/static/" in answer.url]

    assert len(static) > 10
    for answer in static:
        assert HASHED.search(answer.url), answer.url
        assert "immutable" in answer.headers["cache-control"]
    sizes = [answer.request.sizes()["responseBodySize"] for answer in answers]
    assert sum(sizes) < WHOLE_PAGE_BYTES
    person.page.reload()
    expect(person.page.locator("#chat[data-live]")).to_be_visible()


def test_the_page_comes_back_from_the_history_alive(person: Person) -> None:
    person.start()
    person.ask("Hello!")
    person.visit("/conversations/")
    person.page.go_back()
    person.ask("Back again.")
    assert [role for role, _ in person.said()] == ["user", "bot", "user", "bot"]
