"""The list of conversations, and how far the site goes without JavaScript."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.chat import REPLY_MS, Person
from tests.browser.conftest import NewPerson


def test_search_rename_export_and_delete(person: Person) -> None:
    person.start()
    reply = person.ask("Tell me about lighthouses.")
    person.start()
    person.ask("I like soup.")
    page = person.page
    person.visit("/conversations/")
    expect(page.get_by_role("heading", level=2)).to_have_text(
        ["I like soup.", "Tell me about lighthouses."]
    )

    page.get_by_role("searchbox").fill("LIGHTHOUSE")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2)).to_have_text("Tell me about lighthouses.")
    page.get_by_role("button", name="Rename Tell me about lighthouses.").click()
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.type("The keeper")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2)).to_have_text("The keeper")

    with page.expect_download() as download:
        page.get_by_role("link", name="Export The keeper").click()
    document = json.loads(Path(download.value.path()).read_text())
    assert document["title"] == "The keeper"
    assert document["character"] is None
    assert [m["text"] for m in document["messages"]] == ["Tell me about lighthouses.", reply]

    page.get_by_role("button", name="Delete The keeper").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Delete The keeper").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The conversation is deleted.")).to_be_visible()
    person.visit("/conversations/")
    expect(page.get_by_role("heading", level=2)).to_have_text("I like soup.")


def test_a_conversation_without_javascript(new_person: NewPerson) -> None:
    person = new_person(java_script_enabled=False)
    person.start()
    person.page.get_by_role("button", name="Hi! How is your day going?").click()
    expect(person.page.locator(".bubble:visible")).to_have_count(2, timeout=REPLY_MS)
    person.box.fill("And yours?\nReally?")
    person.page.get_by_role("button", name="Send").click()
    expect(person.page.locator(".bubble:visible")).to_have_count(4, timeout=REPLY_MS)
    assert person.said()[2] == ("user", "And yours?\nReally?")
    person.page.get_by_role("button", name="Lift the veil").click()
    expect(person.page.get_by_role("complementary").get_by_role("heading", level=3)).to_be_visible()
    expect(person.page.locator("html")).to_have_attribute("data-hue", "255")
    person.visit("/conversations/")
    person.page.get_by_role("button", name="Delete Hi!").click()
    person.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(person.page.get_by_text("No conversations yet.")).to_be_visible()


def test_without_javascript_nothing_is_promised_that_needs_it(
    new_person: NewPerson, person: Person
) -> None:
    hint = "Enter sends, Shift + Enter starts a new line"
    simple = new_person(java_script_enabled=False)
    simple.start()
    expect(simple.page.get_by_text(hint)).to_be_hidden()
    person.start()
    expect(person.page.get_by_text(hint)).to_be_visible()
