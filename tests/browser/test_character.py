"""The character stays hidden until the veil is lifted, and then is the same everywhere."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.chat import Person


def test_lifting_the_veil_shows_who_it_is_in_every_tab_and_for_good(person: Person) -> None:
    path = person.start()
    person.ask("Hello!")
    veiled = person.page.content()
    other = person.open_tab()
    other.goto(person.url + path)
    card = person.page.get_by_role("complementary")
    card.get_by_role("button", name="Lift the veil").click()

    name = card.get_by_role("heading", level=3).inner_text()
    lines = card.get_by_role("listitem").all_inner_texts()
    assert person.export()["character"] == {"name": name, "lines": lines}
    for secret in (name, *lines, "#336699", "🚌", "data-hue"):
        assert secret not in veiled
    expect(person.page.locator("html")).to_have_attribute("data-hue", "255")
    expect(person.page).to_have_title(f"{name} · Persona")
    expect(person.log.locator("[data-role=bot] [data-speaker]")).to_have_text(f"{name}:")
    expect(other.get_by_role("complementary").get_by_role("heading", name=name)).to_be_visible()
    live = person.page.locator("html").get_attribute("style"), card.inner_text()
    person.page.reload()
    expect(card.get_by_role("heading", name=name)).to_be_visible()
    assert (person.page.locator("html").get_attribute("style"), card.inner_text()) == live
    person.ask("How are you?")
    expect(person.log.locator("[data-role=bot] [data-speaker]")).to_have_text([f"{name}:"] * 2)


def test_who_opens_the_card_on_a_phone_and_escape_closes_it(person: Person) -> None:
    person.page.set_viewport_size({"width": 390, "height": 844})
    person.start()
    card = person.page.locator("#character")
    expect(card).to_be_hidden()
    person.say("/who")
    expect(card.get_by_role("button", name="Lift the veil")).to_be_focused()
    person.page.keyboard.press("Enter")
    expect(card.get_by_role("heading", level=3)).to_be_visible()
    person.page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    assert person.said() == []
