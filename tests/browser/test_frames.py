"""What the page makes of frames that come at bad moments; the test plays the server's socket."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import WebSocketRoute, expect

from tests.browser.chat import ANNOUNCED, Person

Frame = dict[str, Any]


def tell(socket: WebSocketRoute, kind: str, **values: Any) -> None:
    socket.send(json.dumps({"type": kind, **values}))


def play_server(
    person: Person,
    states: list[list[Frame]],
    answer: Callable[[WebSocketRoute, Frame], None],
) -> list[WebSocketRoute]:
    """Each new socket begins with the next of `states`; `answer` gets every frame of the page.

    Returns the sockets, which grow more.
    """
    sockets: list[WebSocketRoute] = []

    def opened(socket: WebSocketRoute) -> None:
        socket.on_message(lambda text: answer(socket, json.loads(text)))
        sockets.append(socket)
        tell(socket, "conversation.state", messages=states.pop(0))

    person.page.route_web_socket(re.compile("/ws/"), opened)
    person.start()
    expect(person.page.locator("#chat[data-live]")).to_be_visible()
    return sockets


def question(client_id: str) -> Frame:
    return {**said("1", "user", "Hello"), "client_id": client_id}


def said(number: str, role: str, text: str, status: str = "complete") -> Frame:
    return {"id": number, "role": role, "text": text, "status": status, "last_seq": 0}


def nothing(socket: WebSocketRoute, frame: Frame) -> None:
    """The answer of a server that is not asked anything."""


def test_a_reply_that_goes_on_after_a_lost_connection_has_each_piece_once(person: Person) -> None:
    pieces = ["I ", "drive ", "a night ", "bus"]
    states: list[list[Frame]] = [[]]

    def answer(socket: WebSocketRoute, frame: Frame) -> None:
        match frame["type"]:
            case "message.send":
                tell(socket, "message.saved", client_id=frame["client_id"], message_id="1")
                tell(socket, "reply.start", message_id="2")
                tell_pieces(socket, 1, 2)
                # As another process says it that has not heard of the reply's pieces yet.
                waiting = {"id": "2", "role": "bot", "text": "", "status": "pending", "last_seq": 0}
                states.append([question(frame["client_id"]), waiting])
                socket.close()
            case "reply.resume":
                tell_pieces(socket, *range(frame["after_seq"] + 1, len(pieces) + 1))

    def tell_pieces(socket: WebSocketRoute, *numbers: int) -> None:
        for seq in numbers:
            tell(socket, "reply.token", message_id="2", seq=seq, text=pieces[seq - 1])

    play_server(person, states, answer)
    person.say("Hello")
    expect(person.bubbles(status="streaming")).to_have_text(re.compile("bus"))
    assert person.bubbles().inner_text() == "I drive a night bus"


def test_a_failed_reply_that_staff_deleted_makes_room_for_another(person: Person) -> None:
    client_id = "6f1f6f0e-2f0e-4a0e-9b6e-0d6f5f4f3f2f"
    failed, anew = (
        {"id": number, "role": "bot", "text": "", "status": status, "last_seq": 0}
        for number, status in (("2", "failed"), ("3", "pending"))
    )
    states = [[question(client_id), failed], [question(client_id), anew]]

    def answer(socket: WebSocketRoute, frame: Frame) -> None:
        match frame["type"]:
            case "message.send":
                tell(socket, "message.saved", client_id=client_id, message_id="1")
                tell(socket, "reply.start", message_id="3")
            case "reply.resume" if frame["message_id"] == "3":
                tell(socket, "reply.end", message_id="3", text="Here I am.", status="complete")

    play_server(person, states, answer)
    person.page.get_by_role("button", name="Try again").click()
    expect(person.bubbles(status="complete")).to_have_text("Here I am.")
    expect(person.bubbles()).to_have_count(1)
    expect(person.bubbles("user", "saved")).to_have_text("Hello")


def test_when_staff_have_deleted_every_message_none_stays_on_the_page(person: Person) -> None:
    states: list[list[Frame]] = [[], []]

    def answer(socket: WebSocketRoute, frame: Frame) -> None:
        if frame["type"] == "message.send":
            tell(socket, "message.saved", client_id=frame["client_id"], message_id="1")
            tell(socket, "reply.end", message_id="2", text="Hi.", status="complete")
            sockets.append(socket)

    sockets: list[WebSocketRoute] = []
    play_server(person, states, answer)
    person.say("Hello")
    expect(person.bubbles(status="complete")).to_have_text("Hi.")
    sockets[0].close()
    expect(person.page.locator(".message")).to_have_count(0)
    assert not states


def test_an_old_reply_that_is_written_anew_is_all_that_is_announced(person: Person) -> None:
    client_id = "6f1f6f0e-2f0e-4a0e-9b6e-0d6f5f4f3f2f"
    later = [said("3", "user", "And you?"), said("4", "bot", "Fine.")]
    failed = said("2", "bot", "", "failed")

    def answer(socket: WebSocketRoute, frame: Frame) -> None:
        if frame["type"] == "message.send":
            tell(socket, "message.saved", client_id=client_id, message_id="1")
            tell(socket, "reply.token", message_id="2", seq=1, text="Here")

    [socket] = play_server(person, [[question(client_id), failed, *later]], answer)
    person.page.evaluate(ANNOUNCED)
    person.page.get_by_role("button", name="Try again").click()
    expect(person.bubbles(status="streaming")).to_have_text("Here")
    written = person.page.locator("[data-id='2']")
    expect(written).to_have_attribute("aria-live", "off")
    assert person.page.evaluate("announced") == []
    tell(socket, "reply.end", message_id="2", text="Here I am.", status="complete")

    expect(person.bubbles(status="complete")).to_have_text(["Here I am.", "Fine."])
    expect(person.log.locator("[aria-live=off] .bubble")).to_have_count(0)
    assert person.page.evaluate("announced") == [["complete", "Here I am."]]


def test_what_is_left_when_staff_have_deleted_a_reply_is_not_announced_again(
    person: Person,
) -> None:
    first, deleted = said("1", "user", "Hello"), said("2", "bot", "Nonsense.")
    later = [said("3", "user", "Pardon?"), said("4", "bot", "Hi.")]
    sockets = play_server(person, [[first, deleted, *later], [first, *later]], nothing)
    person.page.evaluate(ANNOUNCED)
    sockets[0].close()
    expect(person.bubbles()).to_have_text(["Hi."])
    assert person.page.evaluate("announced") == []


def test_a_thumb_on_a_reply_that_is_gone_says_so_of_the_reply_alone(person: Person) -> None:
    person.tolerate("404")
    play_server(person, [[said("1", "user", "Hello"), said("999999", "bot", "Hi.")]], nothing)
    like = person.page.get_by_role("button", name="Good reply")
    like.click()
    expect(person.page.get_by_role("status")).to_contain_text("That reply no longer exists.")
    expect(like).to_have_attribute("aria-pressed", "false")


def test_focus_on_stop_goes_back_to_the_box_when_the_reply_ends(person: Person) -> None:
    def answer(socket: WebSocketRoute, frame: Frame) -> None:
        if frame["type"] == "message.send":
            tell(socket, "message.saved", client_id=frame["client_id"], message_id="1")
            tell(socket, "reply.start", message_id="2")

    [socket] = play_server(person, [[]], answer)
    person.box.fill("Hello")
    person.page.keyboard.press("Tab")
    expect(person.page.get_by_role("button", name="Send")).to_be_focused()
    person.page.keyboard.press("Enter")
    stop = person.page.get_by_role("button", name="Stop the reply")
    expect(stop).to_be_visible()
    expect(person.box).to_be_focused()
    person.page.keyboard.press("Tab")
    expect(stop).to_be_focused()
    tell(socket, "reply.end", message_id="2", text="Hi.", status="complete")
    expect(stop).to_be_hidden()
    expect(person.box).to_be_focused()


def test_a_message_for_a_dead_connection_soon_takes_another(person: Person) -> None:
    states: list[list[Frame]] = [[], []]
    sent: list[str] = []

    def answer(socket: WebSocketRoute, frame: Frame) -> None:
        if frame["type"] == "message.send":
            sent.append(frame["client_id"])
            if not states:
                tell(socket, "message.saved", client_id=frame["client_id"], message_id="1")

    person.page.clock.install()
    play_server(person, states, answer)
    person.say("Hello")
    expect(person.bubbles("user", "sent")).to_have_text("Hello")
    person.page.clock.run_for(11_000)
    expect(person.bubbles("user", "saved")).to_have_text("Hello")
    assert len(sent) == 2
    assert len(set(sent)) == 1


def test_a_server_that_saves_slowly_is_not_left(person: Person) -> None:
    sent: list[str] = []

    def answer(socket: WebSocketRoute, frame: Frame) -> None:
        """In turn, and it never gets beyond the first message."""
        if frame["type"] == "message.send":
            sent.append(frame["client_id"])
        elif frame["type"] == "ping" and not sent:
            tell(socket, "pong")

    person.page.clock.install()
    play_server(person, [[]], answer)
    person.say("Hello")
    person.say("Are you there?")
    expect(person.bubbles("user", "sent")).to_have_count(2)
    person.page.clock.run_for(12_000)
    expect(person.page.locator("#chat[data-live]")).to_be_visible()
    assert len(sent) == 2
