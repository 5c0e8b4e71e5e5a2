"""The pages as a browser gets them: whose they are, what is in them, what they refuse."""

from __future__ import annotations

import re
import uuid
from html import unescape
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, ProgrammingError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from conversations.models import Conversation, Message, Persona, Role, Status
from conversations.theme import theme_of
from tests.fakes import FakeEngine

pytestmark = pytest.mark.django_db


@pytest.fixture
def persona() -> Persona:
    return Persona.objects.create(
        name="Zephyrine Oddlund",
        lines=["I keep a lighthouse.", "I collect quarrels."],
        color="#00696b",
        emblem="🗼",
        source="test",
        digest="z",
    )


def start(client: Client) -> Conversation:
    response = client.get("/")
    assert response.status_code == 302
    return Conversation.objects.get(pk=response["Location"].strip("/").split("/")[-1])


def add(conversation: Conversation, role: Role, text: str, status: str = "complete") -> Message:
    return Message.objects.create(
        conversation=conversation, role=role, text=text, status=Status(status)
    )


def page(client: Client, conversation: Conversation) -> Any:
    return client.get(f"/c/{conversation.pk}/")


def test_each_visit_starts_a_conversation_of_this_browser(client: Client, persona: Persona) -> None:
    first, second = start(client), start(client)

    assert first != second
    assert first.persona == persona
    assert first.channel == "web"
    assert first.browser_key == second.browser_key != ""
    assert page(client, first).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}]
)
def test_reading_ahead_starts_nothing(
    client: Client, persona: Persona, headers: dict[str, str]
) -> None:
    assert client.get("/", headers=headers).status_code == 204
    assert not Conversation.objects.exists()


def test_head_starts_nothing(client: Client, persona: Persona) -> None:
    response = client.head("/")

    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert not Conversation.objects.exists()
    assert not response.cookies


def test_without_characters_the_page_says_what_to_run(client: Client) -> None:
    response = client.get("/")

    assert response.status_code == 503
    assert "manage.py load_personas" in response.text


def test_too_many_new_conversations(client: Client, persona: Persona, settings: Settings) -> None:
    settings.ENV = settings.ENV.model_copy(update={"conversation_rate": "2/hour"})
    start(client)  # before it the browser is nobody yet
    start(client)
    start(client)
    response = client.get("/")

    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert "That was a lot of new conversations" in response.text
    assert Conversation.objects.count() == 3


def test_nobody_else_sees_or_changes_a_conversation(client: Client, persona: Persona) -> None:
    conversation = start(client)
    add(conversation, Role.USER, "Hello!")
    stranger = Client()

    for name in ("conversation", "conversation-export"):
        assert stranger.get(reverse(name, args=[conversation.pk])).status_code == 404
    for name in ("reveal", "rename", "delete", "send"):
        url = reverse(f"conversation-{name}", args=[conversation.pk])
        assert stranger.post(url, {"title": "mine", "text": "hi"}).status_code == 404
    assert "Hello!" not in stranger.get("/conversations/").text
    conversation.refresh_from_db()
    assert (conversation.title, conversation.revealed_at) == ("", None)
    assert conversation.messages.count() == 1
    assert client.get(f"/c/{uuid.uuid4()}/").status_code == 404


def test_staff_read_and_do_not_write(client: Client, persona: Persona) -> None:
    conversation = start(client)
    add(conversation, Role.USER, "Hello!")
    staff = Client()
    staff.force_login(get_user_model().objects.create_user("staff", is_staff=True))
    response = page(staff, conversation)

    assert "Hello!" in response.text
    assert persona.name in response.text
    assert "<textarea" not in response.text
    url = reverse("conversation-reveal", args=[conversation.pk])
    assert staff.post(url).status_code == 404
    conversation.refresh_from_db()
    assert conversation.revealed_at is None


def test_the_character_is_in_no_page_before_it_is_revealed(
    client: Client, persona: Persona
) -> None:
    conversation = start(client)
    add(conversation, Role.USER, "Hello!")
    secrets = (persona.name, *persona.lines, persona.emblem, persona.color)

    def leaks() -> list[str]:
        texts = [
            page(client, conversation).text,
            client.get("/conversations/").text,
            client.get("/conversations/export/").text,
        ]
        return [secret for secret in secrets for text in texts if secret in text]

    assert leaks() == []
    assert "Hello!" not in client.get("/conversations/?q=Zephyrine").text
    response = client.post(
        reverse("conversation-reveal", args=[conversation.pk]),
        headers={"Accept": "application/json"},
    )
    assert response.json() == {
        "name": persona.name,
        "lines": persona.lines,
        "color": persona.color,
        "emblem": "🗼",
        "hue": 195,
        "is_muted": False,
        "ink": "#ffffff",
    }
    assert persona.name in page(client, conversation).text
    assert 'data-hue="195"' in page(client, conversation).text
    assert "Hello!" in client.get("/conversations/?q=zephyrine").text


def test_a_character_is_not_found_when_its_conversation_has_just_been_deleted(
    client: Client, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = start(client)

    def found_and_deleted(*_: object, **__: object) -> Conversation:
        Conversation.objects.all().delete()
        return conversation

    monkeypatch.setattr("conversations.views.get_object_or_404", found_and_deleted)
    response = client.post(reverse("conversation-reveal", args=[conversation.pk]))
    assert response.status_code == 404


def test_texts_are_escaped_in_the_html(client: Client, persona: Persona) -> None:
    conversation = start(client)
    add(conversation, Role.USER, "<script>alert('user')</script>")
    add(conversation, Role.BOT, "<img src=x onerror=alert('bot')>")

    for text in (page(client, conversation).text, client.get("/conversations/").text):
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "&lt;script&gt;alert" in text


def test_unfinished_replies_wait_outside_the_log(client: Client, persona: Persona) -> None:
    conversation = start(client)
    add(conversation, Role.USER, "first question")
    add(conversation, Role.BOT, "first answer")
    add(conversation, Role.USER, "second question")
    add(conversation, Role.BOT, "", "streaming")
    add(conversation, Role.USER, "third question")
    log, tail = page(client, conversation).text.split('id="tail"')

    assert "first answer" in log
    assert "second question" in log
    assert 'data-status="streaming"' not in log
    assert "third question" in tail


def test_a_reply_that_is_written_anew_leaves_what_came_after_it_in_the_log(
    client: Client, persona: Persona
) -> None:
    conversation = start(client)
    add(conversation, Role.USER, "first question")
    add(conversation, Role.BOT, "", "streaming")
    add(conversation, Role.USER, "second question")
    add(conversation, Role.BOT, "second answer")
    add(conversation, Role.USER, "third question")
    add(conversation, Role.BOT, "", "pending")
    log, tail = page(client, conversation).text.split('id="tail"')

    assert 'data-status="streaming"' in log
    assert "third question" in log
    assert 'data-status="pending"' in tail


def test_a_long_conversation_begins_with_its_last_messages(
    client: Client, persona: Persona
) -> None:
    conversation = start(client)
    Message.objects.bulk_create(
        Message(conversation=conversation, role=Role.USER, text=f"message {n};") for n in range(250)
    )
    text = page(client, conversation).text

    assert "message 49;" not in text
    assert "message 50;" in text
    first = Message.objects.get(text="message 50;")
    assert f'<a href="?all=1#m{first.pk}">Show the whole conversation</a>' in text
    whole = client.get(f"/c/{conversation.pk}/?all=1").text
    assert "message 0;" in whole
    assert f'id="m{first.pk}"' in whole


def test_the_side_list_has_the_present_conversation_by_its_title(
    client: Client, persona: Persona
) -> None:
    old = start(client)
    add(old, Role.USER, "how it began")
    client.post(reverse("conversation-rename", args=[old.pk]), {"title": "An old title"})
    for _ in range(13):
        add(start(client), Role.USER, "later")
    text = page(client, old).text

    assert re.search(r'href="/c/[^"]*" aria-current="page" dir="auto">An old title</a>', text)


@pytest.mark.parametrize("query", ["привет", "ПРИВЕТ мир", "ärger", "STRASSE", "50% of_it"])
def test_search_ignores_case_in_every_script(client: Client, persona: Persona, query: str) -> None:
    add(start(client), Role.USER, "Привет Мир, ÄRGER in der Strasse, 50% OF_IT")
    assert "Привет" in client.get("/conversations/", {"q": query}).text
    assert "Привет" not in client.get("/conversations/", {"q": f"{query}x"}).text


def test_rename_and_delete_by_form(client: Client, persona: Persona) -> None:
    conversation = start(client)
    add(conversation, Role.USER, "how it began")
    rename = reverse("conversation-rename", args=[conversation.pk])

    assert "how it began" in client.get("/conversations/").text
    client.post(rename, {"title": "A better title"})
    assert "A better title" in client.get("/conversations/?q=BETTER").text
    response = client.post(rename, {"title": "x" * 81}, follow=True)
    assert "A title may have 80 characters; this one has 81." in response.text
    response = client.post(rename, {"title": "", "next": "https://evil.example/"})
    assert response["Location"] == "/conversations/"

    client.post(reverse("conversation-delete", args=[conversation.pk]))
    assert not Conversation.objects.exists()
    assert "No conversations yet." in client.get("/conversations/").text


@pytest.mark.parametrize("query", ["%", "_", "\x00", "'\"", "x" * 10_000, "🧵"])
def test_odd_searches_find_nothing_and_break_nothing(
    client: Client, persona: Persona, query: str
) -> None:
    add(start(client), Role.USER, "plain words")
    response = client.get("/conversations/", {"q": query})

    assert response.status_code == 200
    assert ("plain words" in response.text) is (query == "\x00")


def test_the_list_asks_the_database_as_often_for_many_as_for_few(
    client: Client, persona: Persona
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/conversations/").status_code == 200
        return len(captured)

    add(start(client), Role.USER, "one")
    few = queries()
    for _ in range(20):
        add(start(client), Role.USER, "many")
    assert queries() == few


def test_forms_need_a_token(persona: Persona) -> None:
    strict = Client(enforce_csrf_checks=True)
    conversation = start(strict)
    response = strict.post(reverse("conversation-delete", args=[conversation.pk]))

    assert response.status_code == 403
    assert "Please try that once more." in response.text
    assert Conversation.objects.exists()


def test_pages_allow_nothing_from_elsewhere_and_no_inline_code(
    client: Client, persona: Persona
) -> None:
    conversation = start(client)
    add(conversation, Role.USER, "Hello!")
    for url in (f"/c/{conversation.pk}/", "/conversations/"):
        response = client.get(url)
        policy = response["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert response["Cache-Control"] == "private, no-store"
        for inline in (" style=", "<style", "onclick=", "<script>"):
            assert inline not in response.text


def test_problems_have_pages(client: Client) -> None:
    assert "Nobody is here." in client.get("/nowhere/").text
    assert client.get("/robots.txt").text == "User-agent: *\nDisallow: /\n"


@pytest.mark.parametrize(
    ("color", "hue", "is_muted", "ink"),
    [
        ("#b3261e", 30, False, "#ffffff"),
        ("#6d4c41", 45, True, "#ffffff"),
        ("#808080", None, True, "#1c1a17"),
        ("#ffe066", 90, False, "#1c1a17"),
        ("#000000", None, True, "#ffffff"),
    ],
)
def test_what_a_page_takes_of_a_colour(
    color: str, hue: int | None, is_muted: bool, ink: str
) -> None:
    theme = theme_of(color)
    assert (theme.hue, theme.is_muted, theme.ink) == (hue, is_muted, ink)


def test_times_without_javascript_are_what_they_say(
    client: Client, persona: Persona, settings: Settings
) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    conversation = start(client)
    message = add(conversation, Role.USER, "what time is it?")
    assert f"{message.created_at:%H:%M} UTC" in page(client, conversation).text
    last = Conversation.objects.get().last_activity_at
    assert f"{last:%H:%M} UTC" in client.get("/conversations/").text


@pytest.mark.parametrize("path", ["/", "/conversations/"])
@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OperationalError("connection refused"), 503, "storage is not available right now"),
        (ProgrammingError("syntax error"), 500, "Something broke."),
    ],
)
def test_while_the_database_is_away_a_page_says_so(
    client: Client, persona: Persona, path: str, error: Exception, status: int, words: str
) -> None:
    start(client)
    client.raise_request_exception = False

    def away(*_: object) -> None:
        raise error

    with connection.execute_wrapper(away):
        response = client.get(path)
    assert response.status_code == status
    assert response.get("Retry-After") == ("5" if status == 503 else None)
    assert words in unescape(response.content.decode())


def test_the_whole_of_a_page_is_no_part_of_more(client: Client, persona: Persona) -> None:
    conversation = start(client)
    Message.objects.bulk_create(
        Message(conversation=conversation, role=Role.USER, text=f"message {n};") for n in range(200)
    )
    text = page(client, conversation).text
    assert "message 0;" in text
    assert "Show the whole conversation" not in text


def test_an_export_asks_the_database_as_often_for_many_as_for_few(
    client: Client, persona: Persona
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            document = client.get("/conversations/export/").json()
        said = {message["text"] for c in document["conversations"] for message in c["messages"]}
        assert said == {"how it began", "how it went on"}
        return len(captured)

    def talk() -> None:
        conversation = start(client)
        add(conversation, Role.USER, "how it began")
        add(conversation, Role.BOT, "how it went on")

    talk()
    start(client)  # where nothing was said
    few = queries()
    for _ in range(10):
        talk()
    assert queries() == few


def test_each_visit_lets_the_browser_keep_its_conversations_another_year(
    client: Client, persona: Persona
) -> None:
    for _ in range(2):
        cookie = client.get("/").cookies["sessionid"]
        assert cookie["max-age"] == 365 * 24 * 60 * 60


class TestWithoutJavaScript:
    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture(autouse=True)
    def _engine(self, fake_engine: FakeEngine) -> None: ...

    def said(self) -> list[str]:
        return list(Message.objects.filter(role=Role.USER).values_list("text", flat=True))

    def test_a_form_sent_twice_is_one_message_and_with_other_words_another(
        self, client: Client, persona: Persona
    ) -> None:
        send = reverse("conversation-send", args=[start(client).pk])
        form = {"client_id": str(uuid.uuid4()), "text": "Hello"}
        for text in ("Hello", "Hello", "Or rather good evening"):
            assert client.post(send, form | {"text": text}).status_code == 302
        assert self.said() == ["Hello", "Or rather good evening"]

    def test_the_page_comes_back_at_the_reply(self, client: Client, persona: Persona) -> None:
        conversation = start(client)
        send = reverse("conversation-send", args=[conversation.pk])
        response = client.post(send, {"text": "Hello"})
        reply = Message.objects.get(role=Role.BOT)
        assert response["Location"] == f"/c/{conversation.pk}/#m{reply.pk}"

    def test_what_is_refused_can_be_mended_and_sent(self, client: Client, persona: Persona) -> None:
        send = reverse("conversation-send", args=[start(client).pk])
        response = client.post(send, {"text": "<b>" + "x" * 1200})
        assert response.status_code == 400
        assert f'action="{send}"' in response.text
        assert "&lt;b&gt;" + "x" * 1200 + "</textarea>" in response.text
        assert self.said() == []

    def test_what_was_refused_is_sent_once_however_often(
        self, client: Client, persona: Persona
    ) -> None:
        send = reverse("conversation-send", args=[start(client).pk])
        refused = client.post(send, {"text": "x" * 1200}).text
        client_id = re.search(r'name="client_id" value="([^"]+)"', refused)
        assert client_id
        again = client.post(send, {"client_id": client_id[1], "text": "x" * 1100}).text
        assert client_id[0] in again
        for _ in range(2):
            client.post(send, {"client_id": client_id[1], "text": "Hello"})
        assert self.said() == ["Hello"]

    def test_reset_meets_somebody_else(self, client: Client, persona: Persona) -> None:
        conversation = start(client)
        send = reverse("conversation-send", args=[conversation.pk])
        response = client.post(send, {"text": " /Reset "})
        successor = Conversation.objects.exclude(pk=conversation.pk).get()
        assert response["Location"] == f"/c/{successor.pk}/"
        assert self.said() == []


def test_who_accepts_no_cookies_is_told_that_one_is_needed(persona: Persona) -> None:
    needed = "allow cookies for this site"
    refuses = Client()
    address = refuses.get("/")["Location"]
    refuses.cookies.clear()
    response = refuses.get(address)

    assert response.status_code == 404
    assert needed in response.text
    assert needed not in refuses.get("/nowhere/").text
    stranger = Client()
    start(stranger)
    assert needed not in stranger.get(address).text


def test_every_page_has_an_icon_and_says_what_the_site_is(client: Client, persona: Persona) -> None:
    text = page(client, start(client)).text
    described = re.search(r'<meta name="description" content="([^"]+)">', text)
    touch = re.search(r'<link rel="apple-touch-icon" href="([^"]+)">', text)

    assert described
    assert f'<meta property="og:description" content="{described[1]}">' in text
    assert persona.name not in text
    assert touch
    # For what has no link to an icon: the admin, the API's documentation, Safari.
    response = client.get("/favicon.ico")
    assert (response.status_code, response["Location"]) == (302, touch[1])


def test_nothing_is_to_be_searched_before_anything_was_said(
    client: Client, persona: Persona
) -> None:
    assert 'role="search"' not in client.get("/conversations/").text
    assert 'role="search"' in client.get("/conversations/?q=soup").text
    add(start(client), Role.USER, "I like soup.")
    assert 'role="search"' in client.get("/conversations/").text


class TestFeedback:
    def give(self, client: Client, reply: Message, thumb: str) -> int:
        url = reverse("reply-feedback", args=[reply.conversation_id, reply.pk])
        status: int = client.post(url, {"feedback": thumb}).status_code
        return status

    def test_is_kept_and_taken_back(self, client: Client, persona: Persona) -> None:
        reply = add(start(client), Role.BOT, "Hello.")
        for thumb, kept in (("1", 1), ("-1", -1), ("", None)):
            assert self.give(client, reply, thumb) == 204
            reply.refresh_from_db()
            assert reply.feedback == kept
        assert b'data-feedback=""' in page(client, reply.conversation).content

    def test_takes_nothing_else(self, client: Client, persona: Persona) -> None:
        reply = add(start(client), Role.BOT, "Hello.")
        assert self.give(client, reply, "2") == 400
        reply.refresh_from_db()
        assert reply.feedback is None

    def test_is_of_replies_in_ones_own_conversation(self, client: Client, persona: Persona) -> None:
        conversation = start(client)
        reply, said = add(conversation, Role.BOT, "Hello."), add(conversation, Role.USER, "Hi.")
        elsewhere = add(start(client), Role.BOT, "Hello.")
        elsewhere.conversation_id = conversation.pk
        assert self.give(client, said, "1") == 404
        assert self.give(client, elsewhere, "1") == 404
        assert self.give(Client(), reply, "1") == 404
