"""For everybody: keyboard, screen reader, small windows, light and dark."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.chat import ANNOUNCED, REPLY_MS, Person
from tests.browser.conftest import NewPerson, sign_in_as_staff
from tests.servers import Server

# Every hue that a character's colour can give the page.
HUES = range(0, 360, 15)


def violations(person: Person) -> list[str]:
    results = Axe().run(person.page)
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in results.response["violations"]
        for node in rule["nodes"]
    ]


@pytest.fixture(params=["light", "dark"])
def everyone(request: pytest.FixtureRequest, new_person: NewPerson) -> Person:
    options: dict[str, Any] = {"color_scheme": request.param, "bypass_csp": True}
    return new_person(reduced_motion="reduce", **options)


def test_axe_finds_nothing(everyone: Person) -> None:
    person = everyone
    person.start()
    assert violations(person) == []
    person.ask("Hello!")
    person.say("/help")
    person.box.fill("a" * 990)
    assert violations(person) == []
    person.page.get_by_role("button", name="Lift the veil").click()
    expect(person.page.get_by_role("complementary").get_by_role("heading", level=3)).to_be_visible()
    assert violations(person) == []
    person.page.set_viewport_size({"width": 390, "height": 844})
    person.page.get_by_role("button", name="Chats").click()
    expect(person.page.get_by_role("link", name="All conversations")).to_be_visible()
    assert violations(person) == []
    person.visit("/conversations/")
    assert violations(person) == []
    person.page.get_by_role("button", name="Delete Hello!").click()
    assert violations(person) == []
    person.tolerate("404")
    person.visit("/nowhere/")
    assert violations(person) == []


def test_a_card_that_is_too_long_for_the_window_scrolls_by_keyboard(everyone: Person) -> None:
    person = everyone
    person.page.set_viewport_size({"width": 1280, "height": 320})
    person.start()
    person.ask("Hello!")
    person.page.get_by_role("button", name="Lift the veil").click()
    card = person.page.get_by_role("complementary")
    expect(card.get_by_role("heading", level=3)).to_be_visible()
    assert card.evaluate("e => e.scrollHeight > e.clientHeight")
    assert violations(person) == []
    person.page.keyboard.press("End")
    expect(card.get_by_role("listitem").last).to_be_in_viewport(ratio=1)


def test_text_is_readable_in_every_hue(everyone: Person) -> None:
    person = everyone
    person.start()
    person.ask("Hello!")
    contrast = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}
    for hue in HUES:
        person.page.evaluate("hue => document.documentElement.dataset.hue = hue", str(hue))
        results = Axe().run(person.page, options=contrast)
        assert results.response["violations"] == [], hue


def test_a_reply_is_announced_once_and_whole(person: Person) -> None:
    person.start()
    person.page.evaluate(ANNOUNCED)
    replies = [person.ask("Hello!"), person.ask("And how is the weather?")]

    assert person.page.evaluate("announced") == [["complete", reply] for reply in replies]
    assert person.log.get_attribute("aria-relevant") == "additions"


def test_everything_works_by_keyboard(person: Person) -> None:
    person.start()
    page = person.page
    expect(person.box).to_be_focused()
    page.keyboard.type("Hello")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("there!")
    page.keyboard.press("Enter")
    expect(person.bubbles("user", "saved")).to_have_text("Hello\nthere!", use_inner_text=True)
    expect(person.bubbles(status="complete")).to_have_count(1, timeout=REPLY_MS)
    expect(person.box).to_be_focused()

    page.reload()
    expect(page.locator("#chat[data-live]")).to_be_visible()
    page.evaluate("document.body.tabIndex = -1, document.body.focus()")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the message box")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(person.box).to_be_focused()
    page.keyboard.type("x")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Send")).to_be_focused()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Lift the veil")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary").get_by_role("heading", level=3)).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 900, 1280, 2560])
def test_nothing_scrolls_sideways(person: Person, width: int) -> None:
    page = person.page
    page.set_viewport_size({"width": width, "height": 640})
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    person.start()
    assert page.evaluate(wide) == 0
    expect(person.box).to_be_in_viewport(ratio=1)
    person.ask("https://example.org/" + "a-very-long-address/" * 12)
    assert page.evaluate(wide) == 0
    scroller = page.get_by_role("region", name="Messages")
    assert scroller.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    person.visit("/conversations/")
    assert page.evaluate(wide) == 0


def test_large_letters_do_not_push_anything_off_a_phone(person: Person) -> None:
    person.page.set_viewport_size({"width": 360, "height": 640})
    person.page.add_init_script(
        "addEventListener('DOMContentLoaded', () => "
        "document.documentElement.style.setProperty('font-size', '28px'))"
    )
    person.start()
    person.ask("Hello!")
    for path in (person.path, "/conversations/"):
        person.visit(path)
        width = person.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path


def test_forced_colours_show_focus_and_a_reply_on_its_way(new_person: NewPerson) -> None:
    person = new_person(forced_colors="active")
    person.start()
    person.box.focus()
    outline = "e => getComputedStyle(e).outlineStyle"
    assert person.page.locator("#composer").evaluate(outline) == "solid"
    dot = (
        "() => {const e = document.createElement('div'); e.className = 'typing'; "
        "e.append(document.createElement('i')); document.body.append(e); "
        "return getComputedStyle(e.firstChild).backgroundColor}"
    )
    assert person.page.evaluate(dot) != person.page.evaluate(
        "() => getComputedStyle(document.documentElement).backgroundColor"
    )


def test_the_box_stays_above_an_on_screen_keyboard(new_person: NewPerson) -> None:
    person = new_person(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    person.start()
    expect(person.box).not_to_be_focused()  # its keyboard would cover the greeting
    person.box.tap()
    person.ask("Hello!")
    person.page.set_viewport_size({"width": 390, "height": 420})
    expect(person.box).to_be_in_viewport(ratio=1)
    expect(person.bubbles().last).to_be_in_viewport()


def test_send_and_stop_leave_an_on_screen_keyboard_open(
    new_person: NewPerson, slow_server: Server
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    person = new_person(slow_server.url, **phone)
    person.start()
    person.box.tap()
    person.box.fill("Tell me everything you know.")
    person.page.get_by_role("button", name="Send").tap()
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("."))
    expect(person.box).to_be_focused()
    person.page.get_by_role("button", name="Stop the reply").tap()
    expect(person.bubbles(status="stopped")).to_have_count(1)
    expect(person.box).to_be_focused()


def test_the_room_that_is_left_is_read_out_only_at_its_marks(person: Person) -> None:
    person.start()
    counter, read_out = person.page.locator("#counter"), person.page.locator("#aside")
    person.box.fill("a" * 799)
    expect(read_out).to_be_empty()
    person.page.keyboard.type("a")
    expect(read_out).to_have_text("Characters left: 200")
    person.page.keyboard.type("aa")
    expect(counter).to_have_text("198 left")
    expect(read_out).to_have_text("Characters left: 200")
    person.box.fill("a" * 1001)
    expect(read_out).to_have_text("Characters too many: 1")
    person.page.keyboard.type("aa")
    expect(counter).to_have_text("3 too many")
    expect(read_out).to_have_text("Characters too many: 1")
    assert counter.evaluate("e => e.closest('[aria-live], [role=status], [role=alert]')") is None


def test_forced_colours_show_where_a_dialog_ends(new_person: NewPerson) -> None:
    person = new_person(forced_colors="active", viewport={"width": 390, "height": 844})
    border = "e => getComputedStyle(e).borderTopStyle"
    person.start()
    person.ask("Hello!")
    for name, sheet in (("Chats", "#chats"), ("Someone new Who am I talking to?", "#character")):
        person.page.get_by_role("button", name=name).click()
        assert person.page.locator(sheet).evaluate(border) == "solid"
        person.page.keyboard.press("Escape")
    person.visit("/conversations/")
    person.page.get_by_role("button", name="Delete Hello!").click()
    assert person.page.get_by_role("dialog").evaluate(border) == "solid"


def test_the_drawer_has_a_button_that_closes_it(new_person: NewPerson) -> None:
    person = new_person(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    person.start()
    drawer = person.page.get_by_role("navigation", name="Chats")
    person.page.get_by_role("button", name="Chats").tap()
    drawer.get_by_role("button", name="Close").tap()
    expect(drawer).to_be_hidden()
    person.page.set_viewport_size({"width": 1280, "height": 800})
    expect(drawer.get_by_role("link", name="New chat")).to_be_visible()
    expect(drawer.get_by_role("button", name="Close")).to_be_hidden()


def test_every_way_to_begin_is_in_view_on_a_phone(new_person: NewPerson) -> None:
    person = new_person(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    person.start()
    expect(person.page.locator(".opener").last).to_be_in_viewport(ratio=1)
    expect(person.page.get_by_role("heading", name="Somebody is here.")).to_be_in_viewport()


def test_every_column_of_the_characters_is_in_view_on_a_laptop(
    person: Person, server: Server
) -> None:
    sign_in_as_staff(person, server)
    person.visit("/admin/conversations/persona/")
    table = person.page.locator("#result_list")
    expect(table).to_be_visible()
    hidden = "e => e.parentElement.scrollWidth - e.parentElement.clientWidth"
    assert table.evaluate(hidden) == 0
