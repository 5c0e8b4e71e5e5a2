"""What the page makes of frames that come at bad moments; the test plays the server's socket."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import WebSocketRoute, expect

from tests.browser.chat import Person

Frame = dict[str, Any]


def tell(socket: WebSocketRoute, kind: str, **values: Any) -> None:
    socket.send(json.dumps({"type": kind, **values}))


def play_server(
    person: Person,
    states: list[list[Frame]],
    answer: Callable[[WebSocketRoute, Frame], None],
) -> None:
    """Each new socket begins with the next of `states`; `answer` gets every frame of the page."""

    def opened(socket: WebSocketRoute) -> None:
        socket.on_message(lambda text: answer(socket, json.loads(text)))
        tell(socket, "conversation.state", messages=states.pop(0))

    person.page.route_web_socket(re.compile("/ws/"), opened)
    person.start()


def question(client_id: str) -> Frame:
    said = {"id": "1", "role": "user", "text": "Hello", "status": "complete", "last_seq": 0}
    return {**said, "client_id": client_id}


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
