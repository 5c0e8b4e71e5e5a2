"""Bad days: no network, a server that crashes, limits, queues, a model that is busy."""

from __future__ import annotations

import re

from playwright.sync_api import WebSocketRoute, expect

from tests.browser.chat import REPLY_MS, Person
from tests.browser.conftest import NewPerson, until_answering
from tests.servers import Server

LOST = r"WebSocket connection|ERR_CONNECTION|ERR_INTERNET_DISCONNECTED"

# Says something in so many new conversations, as other people would, and stops them again.
CROWD = """
async (number) => {
  globalThis.crowd ??= [];
  for (let i = 0; i < number; i++) {
    const page = await fetch("/");
    const socket = new WebSocket(page.url.replace("http", "ws").replace("/c/", "/ws/c/"));
    await new Promise((done, refused) => {
      socket.onmessage = ({data}) => {
        const {type, message_id} = JSON.parse(data);
        if (type === "conversation.state") {
          const frame = {type: "message.send", client_id: crypto.randomUUID(), text: "Hello!"};
          socket.send(JSON.stringify(frame));
        }
        if (type === "reply.start" || type === "reply.queued") {
          crowd.push(() => socket.send(JSON.stringify({type: "reply.stop", message_id})));
          done();
        }
        if (type === "error" || type === "reply.end") refused(new Error(data));
      };
    });
  }
}
"""
DISPERSE = "() => crowd.forEach((stop) => stop())"


def test_what_is_written_while_the_server_is_away_arrives_once(
    new_person: NewPerson, frail_server: Server
) -> None:
    person = new_person(frail_server.url)
    person.tolerate(LOST)
    person.start()
    first = person.ask("Before the crash.")
    frail_server.kill()
    expect(person.page.locator("#chat[data-live]")).to_have_count(0)
    person.say("While it is away.")
    person.say("And another one.")
    expect(person.bubbles("user", "waiting")).to_have_text(
        ["While it is away.", "And another one."]
    )
    expect(person.page.get_by_role("status")).to_contain_text("The connection is lost")
    frail_server.start()

    expect(person.bubbles(status="complete")).to_have_count(3, timeout=REPLY_MS)
    expect(person.bubbles("user", "saved")).to_have_count(3)
    expect(person.page.locator(".status-line")).to_be_hidden()
    said = person.said()
    assert [text for role, text in said if role == "user"] == [
        *("Before the crash.", "While it is away.", "And another one."),
    ]
    assert said[1] == ("bot", first)
    assert len(said) == 6
    assert person.page.locator(".message .bubble").all_inner_texts() == [text for _, text in said]


def test_focus_on_try_now_goes_on_in_the_box(new_person: NewPerson, frail_server: Server) -> None:
    person = new_person(frail_server.url)
    person.tolerate(LOST)
    person.start()
    expect(person.page.locator("#chat[data-live]")).to_be_visible()
    frail_server.kill()
    try_now = person.page.get_by_role("button", name="Try now")
    expect(try_now).to_be_visible()
    try_now.focus()
    frail_server.start()
    person.page.keyboard.press("Enter")

    expect(person.page.locator("#chat[data-live]")).to_be_visible(timeout=30_000)
    expect(person.page.locator(".status-line")).to_be_hidden()
    expect(person.box).to_be_focused()


def test_what_is_not_sent_yet_survives_closing_the_page(person: Person) -> None:
    person.tolerate(LOST)
    path = person.start()
    person.context.set_offline(True)
    person.page.evaluate("dispatchEvent(new Event('offline'))")
    expect(person.page.get_by_role("status")).to_contain_text("You are offline")
    person.say("Written in a tunnel.")
    expect(person.bubbles("user", "waiting")).to_have_count(1)
    person.page.close()
    person.context.set_offline(False)
    person.page = person.open_tab()
    person.visit(path)

    expect(person.bubbles("user", "saved")).to_have_text("Written in a tunnel.")
    expect(person.bubbles(status="complete")).to_have_count(1, timeout=REPLY_MS)
    assert [role for role, _ in person.said()] == ["user", "bot"]


def test_a_reply_cut_off_by_a_crash_can_be_had_again(
    new_person: NewPerson, slow_server: Server
) -> None:
    person = new_person(slow_server.url)
    person.tolerate(LOST)
    person.start()
    person.say("Tell me everything.")
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("."))
    slow_server.kill()
    slow_server.start()

    cut_off = person.page.locator("[data-role=bot][data-status=interrupted]")
    expect(cut_off.get_by_text("cut off by a restart")).to_be_visible(timeout=15_000)
    cut_off.get_by_role("button", name="Try again").click()
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("."))
    person.page.keyboard.press("Escape")
    expect(person.bubbles(status="stopped")).to_have_count(1)
    assert [role for role, _ in person.said()] == ["user", "bot"]


def test_the_rate_limit_counts_down_and_then_lets_through(
    new_person: NewPerson, frail_server: Server
) -> None:
    person = new_person(frail_server.url)
    person.start()
    for number in range(1, 6):
        person.say(f"Message {number}")
    expect(person.page.get_by_role("status")).to_contain_text(
        re.compile(r"What you wrote goes out shortly, in \d+ s")
    )
    waiting = person.bubbles("user", "waiting")
    assert waiting.count() >= 1

    expect(person.bubbles("user", "saved")).to_have_count(5, timeout=15_000)
    expect(person.page.locator(".status-line")).to_be_hidden()
    expect(person.bubbles(status="complete")).to_have_count(5, timeout=REPLY_MS)
    users = [text for role, text in person.said() if role == "user"]
    assert users == [f"Message {number}" for number in range(1, 6)]


def test_a_full_house_is_told_and_tried_again(new_person: NewPerson, slow_server: Server) -> None:
    crowd, person = new_person(slow_server.url), new_person(slow_server.url)
    crowd.start()
    person.start()
    crowd.page.evaluate(CROWD, 2)
    person.say("Is there room for me?")
    expect(person.page.locator("[data-role=bot] .state")).to_have_text(
        "waiting for a turn, number 2 in line"
    )
    person.page.keyboard.press("Escape")
    expect(person.page.locator("[data-role=bot][data-status=stopped]")).to_have_count(1)

    until_answering(slow_server, 1, waiting=1)
    crowd.page.evaluate(CROWD, 1)
    person.say("And now?")
    failed = person.page.locator("[data-role=bot][data-status=failed]")
    expect(failed.get_by_text("So many people are chatting")).to_be_visible()
    expect(person.page.locator("#aside")).to_contain_text("So many people are chatting")
    failed.get_by_role("button", name="Try again").click()
    expect(failed.get_by_text("So many people are chatting")).to_be_visible()
    expect(person.bubbles("user", "saved")).to_have_count(2)
    crowd.page.evaluate(DISPERSE)
    until_answering(slow_server, 0, waiting=0)
    failed.get_by_role("button", name="Try again").click()
    expect(person.box).to_be_focused()
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("."))
    person.page.keyboard.press("Escape")
    expect(person.page.locator("[data-role=bot][data-status=stopped]")).to_have_count(2)
    assert [role for role, _ in person.said()] == ["user", "bot", "user", "bot"]


def test_a_socket_that_never_opens_is_given_up_and_tried_again(person: Person) -> None:
    person.tolerate("WebSocket connection")
    sockets: list[WebSocketRoute] = []

    def swallow(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        if len(sockets) > 1:
            socket.connect_to_server()

    person.page.clock.install()
    person.page.route_web_socket(re.compile("/ws/"), swallow)
    person.start()
    person.page.clock.fast_forward(31_000)
    person.page.clock.run_for(2_000)
    expect(person.page.locator("#chat[data-live]")).to_be_visible()
    assert len(sockets) == 2


def test_a_deleted_conversation_says_so(person: Person) -> None:
    person.tolerate("404|WebSocket connection")
    path = person.start()
    person.ask("Hello!")
    other = person.open_tab()
    other.goto(f"{person.url}/conversations/")
    other.get_by_role("button", name="Delete Hello!").click()
    other.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(other.get_by_text("The conversation is deleted.")).to_be_visible()
    person.say("Anybody there?")

    refused = person.page.locator("[data-role=user][data-status=refused]")
    expect(refused.get_by_text("This conversation no longer exists.")).to_be_visible()
    refused.get_by_role("button", name="Edit").click()
    expect(person.box).to_have_value("Anybody there?")
    person.visit(path)
    expect(person.page.get_by_role("heading", name="Nobody is here.")).to_be_visible()
