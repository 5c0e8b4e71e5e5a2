"""Talking: replies that stream, resume, stop and stay the same in every tab."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import WebSocket, expect

from tests.browser.chat import REPLY_MS, Person
from tests.browser.conftest import NewPerson, sign_in_as_staff
from tests.servers import Server


def pieces_told(person: Person) -> list[str]:
    """The pieces of replies, as the page is told of them from now on."""
    pieces: list[str] = []

    def watch(socket: WebSocket) -> None:
        def received(data: str | bytes) -> None:
            frame = json.loads(data)
            if frame["type"] == "reply.token":
                pieces.append(frame["text"])

        socket.on("framereceived", received)

    person.page.on("websocket", watch)
    return pieces


def test_a_reply_streams_into_one_bubble(new_person: NewPerson, slow_server: Server) -> None:
    person = new_person(slow_server.url)
    pieces = pieces_told(person)
    person.start()
    person.say("Hi! How is your day going?")
    expect(person.bubbles(status="streaming")).to_have_text(re.compile(r"\S \S+ \S"))
    person.page.keyboard.press("Escape")
    expect(person.bubbles(status="stopped")).to_have_count(1)

    assert len(pieces) > 1
    assert "".join(pieces) == person.bubbles().inner_text()


def test_a_reply_comes_whole(person: Person) -> None:
    pieces = pieces_told(person)
    person.start()
    reply = person.ask("Hi! How is your day going?")

    assert reply
    assert "".join(pieces) == person.bubbles().inner_text()
    expect(person.bubbles("user", "saved")).to_have_text("Hi! How is your day going?")
    expect(person.page.locator(".message time")).to_have_count(2)
    assert person.said() == [("user", "Hi! How is your day going?"), ("bot", reply)]


def test_a_reply_is_judged_and_the_judgement_taken_back(person: Person) -> None:
    person.start()
    person.ask("Hello!")
    like = person.page.get_by_role("button", name="Good reply")
    dislike = person.page.get_by_role("button", name="Bad reply")
    like.click()
    expect(like).to_have_attribute("aria-pressed", "true")
    with person.page.expect_response("**/feedback/"):
        dislike.click()
    expect(like).to_have_attribute("aria-pressed", "false")
    person.page.reload()

    expect(dislike).to_have_attribute("aria-pressed", "true")
    with person.page.expect_response("**/feedback/"):
        dislike.click()
    person.page.reload()
    expect(dislike).to_have_attribute("aria-pressed", "false")


def test_a_judgement_that_cannot_be_kept_is_taken_back_and_told(person: Person) -> None:
    person.start()
    person.ask("Hello!")
    person.page.route("**/feedback/", lambda route: route.abort())
    person.tolerate("ERR_FAILED")
    like = person.page.get_by_role("button", name="Good reply")
    like.click()

    expect(person.page.get_by_text("That could not be kept.")).to_be_visible()
    expect(like).to_have_attribute("aria-pressed", "false")


def test_an_opener_begins_the_conversation(person: Person) -> None:
    person.start()
    person.page.get_by_role("button", name="Do you have any pets?").click()

    expect(person.bubbles("user", "saved")).to_have_text("Do you have any pets?")
    expect(person.page.get_by_role("heading", name="Somebody is here.")).to_be_hidden()
    expect(person.box).to_be_focused()


def test_after_a_refresh_everything_is_there_and_goes_on(person: Person) -> None:
    person.start()
    first = person.ask("Hello!")
    person.page.reload()

    expect(person.bubbles("user")).to_have_text(["Hello!"])
    expect(person.bubbles()).to_have_text([first])
    second = person.ask("And what else?")
    expect(person.bubbles()).to_have_text([first, second])


def test_a_reply_goes_on_through_a_refresh_until_escape_stops_it(
    new_person: NewPerson, slow_server: Server
) -> None:
    person = new_person(slow_server.url)
    person.start()
    person.say("Tell me everything you know.")
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("."))
    person.page.reload()
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("."))
    person.page.keyboard.press("Escape")

    stopped = person.bubbles(status="stopped")
    expect(stopped).to_have_count(1)
    expect(person.page.locator("[data-status=stopped] .state")).to_have_text("stopped")
    expect(person.page.get_by_role("button", name="Stop the reply")).to_be_hidden()
    expect(person.box).to_be_focused()
    assert person.export()["messages"][1]["status"] == "stopped"
    assert person.said()[1] == ("bot", stopped.inner_text())


def test_two_tabs_show_the_same(person: Person) -> None:
    path = person.start()
    other = person.open_tab()
    other.goto(person.url + path)
    reply = person.ask("Hello from the first tab.")

    bubbles = other.locator(".message .bubble")
    expect(bubbles).to_have_text(["Hello from the first tab.", reply])
    other.get_by_role("textbox", name="Your message").fill("Hello from the second.")
    other.keyboard.press("Enter")
    expect(person.bubbles(status="complete")).to_have_count(2, timeout=REPLY_MS)
    expect(other.locator("[data-role=bot][data-status=complete]")).to_have_count(2)
    assert person.page.locator(".message .bubble").all_inner_texts() == bubbles.all_inner_texts()


def test_another_browser_sees_nothing(person: Person, new_person: NewPerson) -> None:
    path = person.start()
    person.ask("A secret between us.")
    stranger = new_person()
    stranger.tolerate("404")
    answer = stranger.page.goto(stranger.url + path)

    assert answer
    assert answer.status == 404
    expect(stranger.page.get_by_role("heading", name="Nobody is here.")).to_be_visible()
    assert "secret" not in stranger.page.content()


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script><img src=x onerror=alert(2)>",
        "مرحبا، كيف حالك اليوم؟",
        "👩🏽‍🚀🧵 naïve ﷽ z̸͑͝a̷͒",
        "first line\n\n   indented\tthird",
        "x" * 900,
        "{{ text }} ${text} &lt;b&gt; <bot> <|endoftext|>",
    ],
    ids=["html", "right to left", "emoji", "lines", "long word", "templates"],
)
def test_whatever_is_written_is_shown_as_it_was_written(person: Person, text: str) -> None:
    person.start()
    person.ask(text)

    def shown() -> str | None:
        return person.bubbles("user").text_content()

    assert shown() == text
    assert person.said()[0] == ("user", text)
    assert person.page.locator("#log script, #log img").count() == 0
    assert not _scrolls_sideways(person)
    person.page.reload()
    assert shown() == text


def test_reset_meets_somebody_else(person: Person) -> None:
    first = person.start()
    person.ask("Hello!")
    other = person.open_tab()
    other.goto(person.url + first)
    expect(other.locator("#chat[data-live]")).to_be_visible()
    person.say("/reset")

    expect(person.page.get_by_role("heading", name="Somebody is here.")).to_be_visible()
    assert person.path != first
    other.wait_for_url(f"**{person.path}")
    person.page.go_back()
    expect(person.bubbles("user")).to_have_text("Hello!")
    person.ask("Still there?")


def test_new_chat_and_the_list_of_the_last_ones(person: Person) -> None:
    first = person.start()
    person.ask("The first of my chats.")
    chats = person.page.get_by_role("navigation", name="Chats")
    expect(chats.get_by_role("link", name="The first of my chats.")).to_be_visible()
    chats.get_by_role("link", name="New chat").click()
    expect(person.page.get_by_role("heading", name="Somebody is here.")).to_be_visible()
    assert person.path != first
    chats.get_by_role("link", name="The first of my chats.").click()
    person.page.wait_for_url(f"**{first}")


def test_help_is_answered_by_the_page(person: Person) -> None:
    person.start()
    person.say("/help")

    expect(person.page.get_by_text("start again with somebody else")).to_be_visible()
    assert person.said() == []


def test_a_draft_survives_a_reload_and_belongs_to_its_conversation(person: Person) -> None:
    path = person.start()
    person.box.fill("half a thought")
    person.page.reload()
    expect(person.box).to_have_value("half a thought")
    person.start()
    expect(person.box).to_have_value("")
    person.visit(path)
    expect(person.box).to_have_value("half a thought")
    person.box.press("Enter")
    expect(person.bubbles("user", "saved")).to_have_text("half a thought")
    person.page.reload()
    expect(person.box).to_have_value("")


def test_too_long_a_text_is_counted_and_not_sent(person: Person) -> None:
    person.start()
    person.box.fill("a" * 990)
    expect(person.page.get_by_text("10 left")).to_be_visible()
    person.box.fill("a" * 1003)
    expect(person.page.get_by_text("3 too many")).to_be_visible()
    person.box.press("Enter")
    expect(person.box).to_have_value("a" * 1003)
    expect(person.bubbles("user")).to_have_count(0)


def test_the_end_stays_in_view_only_for_who_is_there(person: Person) -> None:
    person.start()
    for number in range(4):
        person.ask(f"Message number {number}.\n\n\n\n\n")
    scroller = person.page.get_by_role("region", name="Messages")
    expect(person.bubbles().last).to_be_in_viewport(ratio=1)
    # While this tab is in front: one behind gets no scroll events.
    scroller.evaluate(
        "e => new Promise((done) => {"
        " e.addEventListener('scroll', done, {once: true}); e.scrollTo(0, 0); })"
    )
    other = person.open_tab()
    other.goto(person.url + person.path)
    other.get_by_role("textbox", name="Your message").fill("From the other tab.")
    other.keyboard.press("Enter")
    person.page.bring_to_front()
    button = person.page.get_by_role("button", name="New messages")
    expect(button).to_be_visible()
    assert scroller.evaluate("e => e.scrollTop") == 0
    button.click()
    expect(button).to_be_hidden()
    expect(scroller).to_be_focused()
    expect(person.bubbles("user").last).to_be_in_viewport()


def _scrolls_sideways(person: Person) -> bool:
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    return bool(person.page.evaluate(wide))


def test_a_reply_that_ends_stays_still_and_selected(
    new_person: NewPerson, slow_server: Server
) -> None:
    person = new_person(slow_server.url)
    person.start()
    person.say("Tell me everything you know.")
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("."))
    person.page.evaluate(
        """async () => {
          globalThis.fading = () =>
            document.getAnimations().filter(({animationName}) => animationName === "arrive");
          await Promise.all(fading().map(({finished}) => finished));
          const bubble = document.querySelector("[data-role=bot] .bubble");
          getSelection().setBaseAndExtent(bubble.firstChild, 0, bubble.firstChild, 1);
          globalThis.faded = false;
          document.addEventListener("animationstart", ({animationName}) => {
            globalThis.faded ||= animationName === "arrive";
          });
        }"""
    )
    person.page.keyboard.press("Escape")

    expect(person.bubbles(status="stopped")).to_have_count(1)
    assert person.page.evaluate("faded || fading().length > 0") is False
    assert person.page.evaluate("getSelection().toString().length") == 1


def test_a_new_chat_begins_at_its_heading_on_a_phone(new_person: NewPerson) -> None:
    person = new_person(viewport={"width": 360, "height": 560})
    person.start()
    expect(person.page.locator("#chat[data-live]")).to_be_visible()

    assert person.page.locator("#scroller").evaluate("s => s.scrollHeight > s.clientHeight")
    assert person.page.locator("#scroller").evaluate("s => s.scrollTop") == 0
    expect(person.page.get_by_role("button", name="New messages")).to_be_hidden()


def test_whoever_scrolls_up_a_little_is_left_there(
    new_person: NewPerson, slow_server: Server
) -> None:
    person = new_person(slow_server.url, viewport={"width": 360, "height": 480})
    person.start()
    person.say("\n".join("A long message." for _ in range(20)))
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("."))
    scroller = person.page.locator("#scroller")
    scroller.evaluate("s => s.scrollBy(0, -30)")
    place = scroller.evaluate("s => s.scrollTop")
    height = scroller.evaluate("s => s.scrollHeight")
    person.page.wait_for_function(
        "height => document.getElementById('scroller').scrollHeight > height", arg=height
    )

    assert scroller.evaluate("s => s.scrollTop") == place
    person.page.keyboard.press("Escape")
    expect(person.bubbles(status="stopped")).to_have_count(1)


def test_going_back_shows_the_conversation_as_it_is_now(person: Person) -> None:
    person.start()
    person.ask("Hello!")
    person.page.get_by_role("button", name="Lift the veil").click()
    expect(person.page.get_by_text("You are talking to")).to_be_visible()
    person.visit("/conversations/")
    person.page.go_back()

    expect(person.page.get_by_text("You are talking to")).to_be_visible()
    times = person.page.locator(".message time")
    expect(times).to_have_count(2)
    assert all(times.all_inner_texts())


def test_a_printed_conversation_is_whole_and_nothing_else(person: Person) -> None:
    person.page.set_viewport_size({"width": 800, "height": 400})
    person.start()
    for n in range(4):
        person.ask(f"Question {n}?")
    person.page.emulate_media(media="print")

    expect(person.box).to_be_hidden()
    expect(person.page.get_by_role("navigation", name="Chats")).to_be_hidden()
    tall = "document.documentElement.scrollHeight >= document.getElementById('column').offsetHeight"
    assert person.page.evaluate(tall)
    assert person.page.locator("#scroller").evaluate("s => s.scrollHeight <= s.clientHeight + 1")


def test_a_conversation_is_printed_dark_on_light(new_person: NewPerson) -> None:
    person = new_person(color_scheme="dark")
    person.start()
    person.ask("Hello!")
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink')"
    dark = person.page.evaluate(ink)
    person.page.emulate_media(media="print")
    printed = person.page.evaluate(ink)
    person.page.emulate_media(media="screen", color_scheme="light")

    assert printed == person.page.evaluate(ink) != dark


def test_what_is_copied_is_what_was_said(person: Person) -> None:
    person.start()
    reply = person.ask("Hello!")
    expect(person.bubbles("user", "saved")).to_have_count(1)
    copied = person.page.evaluate(
        "() => { getSelection().selectAllChildren(document.getElementById('log'));"
        " return getSelection().toString(); }"
    )
    assert copied.rstrip().split("\n") == ["You:", "Hello!", "", "The character:", reply]


def test_stop_is_offered_only_while_it_can_be_done(
    new_person: NewPerson, slow_server: Server
) -> None:
    person = new_person(slow_server.url)
    person.tolerate("WebSocket|ERR_INTERNET_DISCONNECTED")
    person.start()
    person.say("Tell me everything you know.")
    stop = person.page.get_by_role("button", name="Stop the reply")
    expect(stop).to_be_visible()
    person.context.set_offline(True)
    expect(stop).to_be_hidden()
    person.context.set_offline(False)
    expect(stop).to_be_visible()
    stop.click()
    expect(person.bubbles(status="stopped")).to_have_count(1)


def test_staff_see_what_is_said_while_they_read(new_person: NewPerson, slow_server: Server) -> None:
    person, staff = new_person(slow_server.url), new_person(slow_server.url)
    sign_in_as_staff(staff, slow_server)
    path = person.start()
    staff.visit(path)
    expect(staff.page.locator("#chat[data-live]")).to_be_visible()
    person.say("Tell me everything you know.")

    expect(staff.bubbles("user")).to_have_text("Tell me everything you know.")
    expect(staff.bubbles(status="streaming")).to_have_text(re.compile("."))
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("."))
    person.page.keyboard.press("Escape")
    # Until it has stopped, more may come.
    expect(person.bubbles(status="stopped")).to_have_count(1)
    expect(staff.bubbles(status="stopped")).to_have_text(person.bubbles().inner_text())
    chats = staff.page.get_by_role("navigation", name="Chats")
    expect(chats.get_by_role("listitem")).to_have_count(0)
