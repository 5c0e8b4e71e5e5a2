"""The admin as staff see it: lists, transcripts, characters, and who may do what."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.authtoken.models import Token

from conversations.models import Channel, Conversation, Message, Persona, Role, Status

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]

CONVERSATIONS = "/admin/conversations/conversation/"
PERSONAS = "/admin/conversations/persona/"
TOKENS = "/admin/authtoken/tokenproxy/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def persona_make(name: str = "Brenda", **fields: Any) -> Persona:
    lines = fields.pop("lines", ["I drive a night bus.", "My cat hates boats."])
    digest = hashlib.sha256(f"{name}{lines}".encode()).hexdigest()
    defaults = {"color": "#336699", "emblem": "🚌", "source": "catalogue", "digest": digest}
    return Persona.objects.create(name=name, lines=lines, **(defaults | fields))


def conversation_make(*texts: str, persona: Persona | None = None, **fields: Any) -> Conversation:
    """A conversation in which the person and the character take turns."""
    persona = persona or Persona.objects.first() or persona_make()
    conversation = Conversation.objects.create(
        persona=persona, **({"channel": Channel.WEB} | fields)
    )
    for place, text in enumerate(texts):
        role = Role.BOT if place % 2 else Role.USER
        Message.objects.create(conversation=conversation, role=role, text=text)
    return conversation


def page(client: Client, path: str, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == 200
    return response.content.decode()


def transcript(conversation: Conversation) -> str:
    return reverse("admin:conversations_conversation_change", args=[conversation.pk])


def queries_of(client: Client, path: str, **query: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page(client, path, **query)
    return len(queries)


class TestConversationList:
    def test_shows_channel_character_message_count_and_last_activity(self, staff: Client) -> None:
        moment = timezone.now().replace(month=3, day=5, hour=12, minute=34)
        conversation_make("hi", "hello", "bye", channel=Channel.SMS, last_activity_at=moment)
        text = page(staff, CONVERSATIONS)
        assert "Brenda" in text
        assert '<td class="field-channel">SMS</td>' in text
        assert '<td class="field-said">3 </td>' in text
        assert "5 Mar, 12:34" in text

    def test_marks_failed_replies_and_feedback(self, staff: Client) -> None:
        conversation = conversation_make("hi", "hello", "and?", "")
        replies = conversation.messages.filter(role=Role.BOT).order_by("id")
        replies.filter(text="hello").update(feedback=1)
        replies.filter(text="").update(status=Status.FAILED)
        text = page(staff, CONVERSATIONS)
        assert "1 failed" in text
        assert "👍 1" in text

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"channel__exact": "sms"}, {"Sms"}),
            ({"failed": "yes"}, {"Failed"}),
            ({"failed": "no"}, {"Sms", "Liked"}),
            ({"feedback": "up"}, {"Liked"}),
            ({"feedback": "down"}, set()),
            ({"feedback": "any"}, {"Liked"}),
            ({"feedback": "nonsense"}, {"Sms", "Failed", "Liked"}),
        ],
    )
    def test_filters(self, staff: Client, query: dict[str, str], expected: set[str]) -> None:
        conversation_make("a", persona=persona_make("Sms"), channel=Channel.SMS)
        failed = conversation_make("a", "", persona=persona_make("Failed"))
        failed.messages.filter(role=Role.BOT).update(status=Status.FAILED)
        liked = conversation_make("a", "b", persona=persona_make("Liked"))
        liked.messages.filter(role=Role.BOT).update(feedback=1)
        text = page(staff, CONVERSATIONS, **query)
        assert {name for name in ("Sms", "Failed", "Liked") if f"<span>{name}" in text} == expected

    def test_date_hierarchy_leads_to_the_days(self, staff: Client) -> None:
        first, last = (datetime(2024, 11, 29, tzinfo=UTC), datetime(2026, 2, 3, tzinfo=UTC))
        conversation_make("a", persona=persona_make("Old"), last_activity_at=first)
        conversation_make("a", persona=persona_make("New"), last_activity_at=last)
        field = "last_activity_at"

        def shown(**query: str) -> list[str]:
            text = page(staff, CONVERSATIONS, **query)
            found = text.partition('<nav class="toplinks">')[2].partition("</nav>")[0]
            return re.findall(r">([^<>]+)</a>", found)

        assert shown() == ["2024", "2025", "2026"]
        year = {f"{field}__year": "2024"}
        assert shown(**year) == ["&lsaquo; All dates", "November 2024", "December 2024"]
        month = {**year, f"{field}__month": "11"}
        assert shown(**month) == ["&lsaquo; 2024", "November 29", "November 30"]
        text = page(staff, CONVERSATIONS, **month, **{f"{field}__day": "29"})
        assert "November 29" in text
        assert "<span>Old" in text
        assert "<span>New" not in text
        for wrong in ("0", "13", "x", "9" * 5_000):
            assert staff.get(CONVERSATIONS, {**year, f"{field}__month": wrong}).status_code == 302

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("umbrella", True),
            ("UMBRELLA lost", True),
            ('"lost my umbrella"', True),
            ('"my lost umbrella"', False),
            ("umbrella parasol", False),
            ("bren", True),
            ("%", False),
            ("_", False),
            ("'", False),
            ('"', False),
            ("\0", True),
        ],
    )
    def test_search_finds_words_of_a_message_or_a_name(
        self, staff: Client, search: str, found: bool
    ) -> None:
        conversation_make("I lost my umbrella", "how sad")
        conversation_make("nothing", persona=persona_make("Zoltan"))
        assert ("<span>Brenda" in page(staff, CONVERSATIONS, q=search)) is found

    def test_search_takes_the_first_ten_words(self, staff: Client) -> None:
        conversation_make("I lost my umbrella", persona=persona_make(lines=["I sell umbrellas."]))
        for path in (CONVERSATIONS, PERSONAS):
            assert "<span>Brenda" in page(staff, path, q="umbrella " * 10 + "parasol " * 1_200)
            assert "<span>Brenda" not in page(staff, path, q="umbrella " * 9 + "parasol")

    def test_search_finds_a_conversation_by_its_id(self, staff: Client) -> None:
        conversation = conversation_make("hello", persona=persona_make("Wanted"))
        conversation_make("hello", persona=persona_make("Other"))
        text = page(staff, CONVERSATIONS, q=str(conversation.pk))
        assert "<span>Wanted" in text
        assert "<span>Other" not in text

    def test_search_looks_at_the_newest_messages_only(
        self, staff: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("conversations.admin.changelist.SEARCHED_MESSAGES", 2)
        conversation_make("umbrella", "yes")
        conversation_make("parasol", "no", persona=persona_make("Zoltan"))
        assert "<span>Brenda" not in page(staff, CONVERSATIONS, q="umbrella")
        assert "<span>Zoltan" in page(staff, CONVERSATIONS, q="parasol")

    def test_number_of_queries_does_not_grow_with_the_data(self, staff: Client) -> None:
        personas = [persona_make(f"P{number}") for number in range(50)]
        _many(10, personas)
        few = {query: queries_of(staff, CONVERSATIONS, **_query(query)) for query in QUERIES}
        _many(9_990, personas)
        many = {query: queries_of(staff, CONVERSATIONS, **_query(query)) for query in QUERIES}
        assert Conversation.objects.count() == 10_000
        assert many == few
        assert max(many.values()) <= 12

    def test_counting_stops_at_a_limit(
        self, staff: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("conversations.admin.changelist.COUNT_LIMIT", 2)
        for _ in range(3):
            conversation_make("hi")
        assert "2+ conversations" in page(staff, CONVERSATIONS)


QUERIES = ("", "q=hello", "failed=yes", "feedback=any", "channel__exact=web", "p=2", "o=4")


def _query(text: str) -> dict[str, str]:
    return dict([text.split("=")]) if text else {}


def _many(number: int, personas: list[Persona]) -> None:
    """Conversations of one reply each, every tenth failed, every tenth liked."""
    made = Conversation.objects.bulk_create(
        Conversation(persona=personas[place % len(personas)], channel=Channel.WEB)
        for place in range(number)
    )
    Message.objects.bulk_create(
        Message(
            conversation=conversation,
            role=Role.BOT,
            text="hello",
            status=Status.FAILED if place % 10 == 0 else Status.COMPLETE,
            feedback=1 if place % 10 == 1 else None,
        )
        for place, conversation in enumerate(made)
    )


class TestTranscript:
    def test_shows_texts_persona_timings_status_and_sampling(self, staff: Client) -> None:
        conversation = conversation_make("where are you?", "on the bus .")
        conversation.messages.filter(role=Role.BOT).update(
            status=Status.STOPPED,
            bundle="tiny-int8",
            sampling={"temperature": 0.8, "seed": 1234567},
            prompt_tokens=57,
            completion_tokens=11,
            queued_ms=3,
            first_token_ms=40,
            duration_ms=1540,
            feedback=-1,
        )
        text = page(staff, transcript(conversation))
        for expected in (
            "where are you?",
            "on the bus .",
            "My cat hates boats.",
            "stopped by the person",
            "tiny-int8",
            "1234567",
            "57 tokens",
            "40 ms",
            "1.5 s · 11 tokens",
            "7 tokens/s",
            "disliked",
        ):
            assert expected in text
        assert "<textarea" not in text

    def test_failed_reply_names_its_error(self, staff: Client) -> None:
        conversation = conversation_make("hi", "")
        conversation.messages.filter(role=Role.BOT).update(
            status=Status.FAILED, error_code="engine_unavailable"
        )
        assert "failed: engine_unavailable" in page(staff, transcript(conversation))

    def test_everything_people_and_models_write_is_only_text(self, staff: Client) -> None:
        attack = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
        persona = persona_make(attack[:80], lines=[attack], emblem="<b>", color='"><b>')
        conversation = conversation_make(attack, attack, persona=persona, title=attack[:80])
        conversation.messages.filter(role=Role.BOT).update(
            sampling={attack: attack}, bundle=attack, error_code=attack[:30]
        )
        for path in (
            transcript(conversation),
            CONVERSATIONS,
            PERSONAS,
            reverse("admin:conversations_persona_change", args=[persona.pk]),
            reverse("admin:conversations_conversation_delete", args=[conversation.pk]),
        ):
            text = page(staff, path)
            assert "<script>alert" not in text
            assert "<img src=x" not in text
            assert "onerror=alert(2)>" not in text

    def test_long_conversations_come_in_pages(self, staff: Client) -> None:
        conversation = conversation_make()
        Message.objects.bulk_create(
            Message(
                conversation=conversation,
                role=Role.BOT if number % 2 else Role.USER,
                text=f"text {number} end",
            )
            for number in range(2_000)
        )
        first = page(staff, transcript(conversation))
        assert first.count("<article") == 100
        assert "text 0 end" in first
        assert 'href="?page=20"' in first
        assert "text 1999 end" in page(staff, transcript(conversation), page="20")
        assert "text 1999 end" in page(staff, transcript(conversation), page="99")
        assert "text 0 end" in page(staff, transcript(conversation), page="x")
        assert queries_of(staff, transcript(conversation), page="7") <= 6

    def test_opens_at_a_message(self, staff: Client) -> None:
        conversation = conversation_make(*(f"text {number} end" for number in range(150)))
        message = conversation.messages.get(text="text 120 end")
        response = staff.get(reverse("admin:conversations_message_change", args=[message.pk]))
        assert response["Location"].endswith(f"#message-{message.pk}")
        assert "text 120 end" in page(staff, response["Location"])

    @pytest.mark.parametrize("identifier", ["7", "x", "00000000-0000-0000-0000-000000000000"])
    def test_unknown_id_leads_back_to_the_list(self, staff: Client, identifier: str) -> None:
        response = staff.get(f"{CONVERSATIONS}{identifier}/change/", follow=True)
        assert response.redirect_chain[0][0] == CONVERSATIONS
        assert "There is no such conversation." in response.content.decode()


class TestHandsOff:
    def test_nothing_can_be_added_or_changed(self, staff: Client) -> None:
        conversation = conversation_make("hi", "hello")
        message = conversation.messages.earliest("id")
        for path in (f"{CONVERSATIONS}add/", "/admin/conversations/message/add/"):
            assert staff.get(path).status_code == 403
            assert staff.post(path, {"text": "made up"}).status_code == 403
        staff.post(transcript(conversation), {"title": "made up", "channel": "sms"})
        staff.post(
            reverse("admin:conversations_message_change", args=[message.pk]), {"text": "made up"}
        )
        conversation.refresh_from_db()
        assert (conversation.title, conversation.channel) == ("", "web")
        assert not Message.objects.filter(text="made up").exists()

    def test_conversation_is_deleted_with_its_messages(self, staff: Client) -> None:
        conversation = conversation_make("hi", "hello", title="my secret")
        kept = conversation_make("hi", "hello")
        path = reverse("admin:conversations_conversation_delete", args=[conversation.pk])
        assert "Messages: 2" in page(staff, path)
        assert staff.post(path, {"post": "yes"}).status_code == 302
        assert list(Conversation.objects.all()) == [kept]
        assert Message.objects.count() == 2
        assert "secret" not in LogEntry.objects.get().object_repr

    def test_selected_conversations_are_deleted(self, staff: Client) -> None:
        gone = [conversation_make("hi", "hello") for _ in range(3)]
        conversation_make("hi")
        data = {
            "action": "delete_selected",
            "_selected_action": [str(each.pk) for each in gone],
            "post": "yes",
        }
        assert staff.post(CONVERSATIONS, data).status_code == 302
        assert Conversation.objects.count() == 1
        assert Message.objects.count() == 1

    def test_deletion_page_of_much_stays_short(self, staff: Client) -> None:
        conversation = conversation_make(*("hi" for _ in range(500)))
        path = reverse("admin:conversations_conversation_delete", args=[conversation.pk])
        assert "Messages: 500" in page(staff, path)
        assert queries_of(staff, path) <= 6

    def test_message_is_deleted_with_its_reply(self, staff: Client) -> None:
        conversation = conversation_make("my number is 1", "nice", "ok", "yes")
        message, reply = conversation.messages.order_by("id")[:2]
        Message.objects.filter(pk=reply.pk).update(reply_to=message)
        path = reverse("admin:conversations_message_delete", args=[message.pk])
        assert "nice" in page(staff, path)
        response = staff.post(path, {"post": "yes"})
        assert response["Location"] == transcript(conversation)
        assert [m.text for m in conversation.messages.order_by("id")] == ["ok", "yes"]


class TestPermissions:
    @pytest.fixture
    def colleague(self, client: Client) -> Callable[..., Client]:
        def login(*codenames: str) -> Client:
            user = User.objects.create_user("bo", is_staff=True)
            user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
            client.force_login(user)
            return client

        return login

    def test_strangers_are_sent_to_the_login(self, client: Client) -> None:
        conversation = conversation_make("hi")
        for path in ("/admin/", CONVERSATIONS, transcript(conversation), PERSONAS):
            assert "/admin/login/" in client.get(path)["Location"]

    def test_staff_without_permission_see_no_conversation(
        self, colleague: Callable[..., Client]
    ) -> None:
        bo = colleague("view_persona")
        conversation = conversation_make("hi there", "hello")
        message = conversation.messages.earliest("id")
        for path in (
            CONVERSATIONS,
            transcript(conversation),
            reverse("admin:conversations_message_change", args=[message.pk]),
        ):
            assert bo.get(path).status_code == 403
        assert "Active today" not in page(bo, "/admin/")

    def test_readers_cannot_delete(self, colleague: Callable[..., Client]) -> None:
        bo = colleague("view_conversation")
        conversation = conversation_make("hi there", "hello")
        message = conversation.messages.earliest("id")
        text = page(bo, transcript(conversation))
        assert "hi there" in text
        assert "Delete" not in text
        for path in (
            reverse("admin:conversations_conversation_delete", args=[conversation.pk]),
            reverse("admin:conversations_message_delete", args=[message.pk]),
        ):
            assert bo.post(path, {"post": "yes"}).status_code == 403
        data = {"action": "delete_selected", "_selected_action": [conversation.pk], "post": "yes"}
        bo.post(CONVERSATIONS, data)
        assert Message.objects.count() == 2


class TestTokens:
    @pytest.fixture
    def clerk(self, client: Client) -> Client:
        user = User.objects.create_user("clerk", is_staff=True)
        names = ("view_tokenproxy", "add_tokenproxy", "view_user")
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client.force_login(user)
        return client

    def test_a_key_is_shown_once_and_not_kept_in_the_log(self, clerk: Client) -> None:
        carol = User.objects.create_user("carol")
        response = clerk.post(f"{TOKENS}add/", {"user": carol.pk}, follow=True)
        key = Token.objects.get(user=carol).key
        assert response.content.decode().count(key) == 1
        assert f"The key of carol, shown this once: {key}" in response.content.decode()
        for path in (TOKENS, f"{TOKENS}{carol.pk}/change/", f"{TOKENS}{carol.pk}/history/"):
            text = page(clerk, path)
            assert f"{key[:4]}…" in text
            assert key not in text
        [entry] = LogEntry.objects.all()
        assert entry.object_repr == f"{key[:4]}…"
        assert key not in page(clerk, "/admin/")

    def test_a_token_is_taken_away_without_showing_its_key(self, staff: Client) -> None:
        token = Token.objects.create(user=User.objects.create_user("carol"))
        path = f"{TOKENS}{token.user_id}/delete/"
        assert token.key not in page(staff, path)
        response = staff.post(path, {"post": "yes"}, follow=True)
        assert token.key not in response.content.decode()
        assert not Token.objects.exists()

    @pytest.mark.parametrize(
        "path",
        [
            "/admin/authtoken/tokenproxy/?key__startswith=a",
            "/admin/authtoken/tokenproxy/?pk__startswith=a",
            "/admin/auth/user/?auth_token__key__startswith=a",
            "/admin/auth/user/?auth_token__gt=a",
        ],
    )
    def test_no_list_can_be_narrowed_by_parts_of_a_key(self, clerk: Client, path: str) -> None:
        assert clerk.get(path).status_code == 400


class TestExport:
    # The response is streamed from threads with connections of their own.
    @pytest.mark.django_db(transaction=True)
    def test_selected_conversations_become_json_lines(self, staff: Client) -> None:
        chosen = conversation_make("write to ann@example.org", "I will .", channel=Channel.SMS)
        conversation_make("not this one", "no")
        data = {"action": "export_selected", "_selected_action": [str(chosen.pk)]}
        response = staff.post(CONVERSATIONS, data)
        assert "attachment" in response["Content-Disposition"]

        async def content() -> bytes:
            return b"".join([block async for block in response.streaming_content])  # type: ignore[attr-defined]

        lines = async_to_sync(content)().decode().splitlines()
        assert [json.loads(line) for line in lines] == [
            {
                "source": "chat/sms",
                "personas": [[], ["I drive a night bus.", "My cat hates boats."]],
                "turns": ["write to [email]", "I will ."],
            }
        ]


class TestPersonas:
    def fields(self, **changes: str) -> dict[str, str]:
        return {
            "name": "Otto",
            "lines": "I sell hats.\n\n  I am   tall.  \n",
            "emblem": "🎩",
            "color": "#102030",
            "is_active": "on",
        } | changes

    def test_one_is_written_by_hand(self, staff: Client) -> None:
        assert staff.post(f"{PERSONAS}add/", self.fields()).status_code == 302
        persona = Persona.objects.get()
        assert persona.lines == ["I sell hats.", "I am tall."]
        assert persona.source == "staff"
        assert len(persona.digest) == 64
        assert persona.is_active

    def test_one_is_changed_and_keeps_its_digest(self, staff: Client) -> None:
        persona = persona_make()
        path = reverse("admin:conversations_persona_change", args=[persona.pk])
        assert "I drive a night bus.\nMy cat hates boats." in page(staff, path)
        fields = self.fields()
        del fields["is_active"]
        assert staff.post(path, fields).status_code == 302
        changed = Persona.objects.get()
        assert changed.lines == ["I sell hats.", "I am tall."]
        assert (changed.digest, changed.source) == (persona.digest, "catalogue")
        assert not changed.is_active

    def test_a_page_opened_before_a_change_undoes_nothing(self, staff: Client) -> None:
        persona = persona_make()
        path = reverse("admin:conversations_persona_change", args=[persona.pk])
        opened = opened_as(page(staff, path))
        Persona.objects.update(is_active=False, name="Berta")
        response = staff.post(path, self.fields(opened_as=opened))
        text = unescape(response.content.decode())
        assert "Nothing was saved: this was changed elsewhere" in text
        assert "Active is now: no" in text
        assert "Name is now: Berta" in text
        assert "Lines is now" not in text
        assert "I sell hats." in text  # what was typed is still there
        assert staff.post(path, self.fields(opened_as="[1]")).status_code == 200
        persona.refresh_from_db()
        assert (persona.name, persona.is_active) == ("Berta", False)
        again = opened_as(page(staff, path))
        assert staff.post(path, self.fields(opened_as=again)).status_code == 302
        persona.refresh_from_db()
        assert (persona.name, persona.is_active) == ("Otto", True)

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            ("", "This field is required."),
            (" \n\t\n", "Write at least one line"),
            ("\u200b\n", "Write at least one line"),
            ("I sell hats.\n\n" + "x" * 201, "Line 3 has 201 characters; at most 200"),
            ("\n".join(f"I am {n}." for n in range(13)), "There are 13 lines; at most 12"),
            ("I sell hats.\ni sell  hats.", "Line 2 says the same as line 1."),
        ],
    )
    def test_wrong_lines_are_explained(self, staff: Client, lines: str, message: str) -> None:
        response = staff.post(f"{PERSONAS}add/", self.fields(lines=lines))
        assert response.status_code == 200
        assert message in response.content.decode()
        assert not Persona.objects.exists()

    def test_longest_possible_lines_are_kept(self, staff: Client) -> None:
        lines = "\n".join(f"{n:>2}".replace(" ", "n") + "x" * 198 for n in range(12))
        assert staff.post(f"{PERSONAS}add/", self.fields(lines=lines)).status_code == 302

    def test_the_same_lines_twice_are_refused(self, staff: Client) -> None:
        staff.post(f"{PERSONAS}add/", self.fields())
        response = staff.post(f"{PERSONAS}add/", self.fields(name="Anna"))
        assert "is there already: Otto" in response.content.decode()

    def test_wrong_colour_is_refused(self, staff: Client) -> None:
        response = staff.post(f"{PERSONAS}add/", self.fields(color="red"))
        assert "Write a colour as #rrggbb." in response.content.decode()

    def test_many_are_switched_off_and_on(self, staff: Client) -> None:
        personas = [persona_make(f"P{number}") for number in range(3)]
        chosen = {"_selected_action": [str(each.pk) for each in personas[:2]]}
        response = staff.post(PERSONAS, {"action": "switch_off", **chosen}, follow=True)
        assert "2 characters switched off" in response.content.decode()
        assert list(Persona.objects.filter(is_active=True)) == [personas[2]]
        response = staff.post(PERSONAS, {"action": "switch_on", **chosen}, follow=True)
        assert Persona.objects.filter(is_active=True).count() == 3

    def test_list_filters_and_searches(self, staff: Client) -> None:
        persona_make("Anna", is_active=False)
        persona_make("Bert", source="staff", lines=["I breed alpacas."])
        assert "<span>Bert" not in page(staff, PERSONAS, is_active__exact="0")
        assert "<span>Anna" not in page(staff, PERSONAS, source="staff")
        assert "<span>Bert" in page(staff, PERSONAS, q="alpacas")
        persona_make("Zoë", lines=["I live in München.", 'They call me "Blue", it is true.'])
        for search in ("münchen", "München zoë", '"in München"', "'\"Blue\", it'"):
            text = page(staff, PERSONAS, q=search)
            assert ("<span>Zoë" in text, "<span>Bert" in text) == (True, False)
        assert "<span>Anna" not in page(staff, PERSONAS, q="alpacas")

    def test_list_of_many_needs_few_queries(self, staff: Client) -> None:
        for number in range(60):
            conversation_make("hi", persona=persona_make(f"P{number}"))
        assert queries_of(staff, PERSONAS) <= 8

    def test_one_in_use_is_not_deleted_and_the_page_says_why(self, staff: Client) -> None:
        persona = persona_make()
        conversation_make("hi", persona=persona)
        path = reverse("admin:conversations_persona_delete", args=[persona.pk])
        for text in (page(staff, path), staff.post(path, {"post": "yes"}).content.decode()):
            assert "Brenda: 1 conversation<" in text
            assert "Switch the character off instead" in text
        data = {"action": "delete_selected", "_selected_action": [persona.pk], "post": "yes"}
        assert "switch them off instead" in staff.post(PERSONAS, data).content.decode()
        assert Persona.objects.filter(pk=persona.pk).exists()

    def test_one_not_in_use_is_deleted(self, staff: Client) -> None:
        persona = persona_make()
        path = reverse("admin:conversations_persona_delete", args=[persona.pk])
        assert staff.post(path, {"post": "yes"}).status_code == 302
        assert not Persona.objects.exists()


def opened_as(text: str) -> str:
    """What a page with a form carries along of the row as it was."""
    [value] = re.findall(r'<input type="hidden" name="opened_as" value="([^"]*)"', text)
    return unescape(value)


def failed_at(conversation: Conversation, moment: datetime) -> None:
    replies = conversation.messages.filter(role=Role.BOT)
    replies.update(status=Status.FAILED, created_at=moment, finished_at=moment)


class TestFrontPage:
    def test_says_how_the_chatbot_is_doing(self, staff: Client) -> None:
        conversation = conversation_make("hi", "", channel=Channel.SMS)
        failed_at(conversation, timezone.now())
        conversation_make("hi", last_activity_at=timezone.now() - timedelta(days=3))
        text = " ".join(page(staff, "/admin/").split())
        assert "<title>Overview | Persona chatbot</title>" in text
        assert 'Active today</h2> <p class="number">1</p>' in text
        assert 'Active this week</h2> <p class="number">2</p> <p class="note">SMS, web' in text
        assert 'Failed replies</h2> <p class="number"><a href="/admin/conversations/' in text

    def test_counts_failures_of_the_last_day_and_leads_to_their_chats(self, staff: Client) -> None:
        now = timezone.now()
        old = conversation_make("hi", "", "again", "yes", persona=persona_make("Otto"))
        failed_at(old, now - timedelta(days=90))
        idle = conversation_make(
            "hi", "", persona=persona_make("Ida"), last_activity_at=now - timedelta(days=3)
        )
        failed_at(idle, now - timedelta(days=3))
        figure = re.compile(r'Failed replies</h2>\s*<p class="number"><a href="([^"]*)">(\d+)</a>')
        assert figure.findall(page(staff, "/admin/"))[0][1] == "0"
        failed_at(conversation_make("hi", "", persona=persona_make("Anna")), now)
        [(link, number)] = figure.findall(page(staff, "/admin/"))
        assert number == "1"
        text = page(staff, unescape(link))
        assert "<span>Anna" in text
        assert "<span>Ida" not in text
