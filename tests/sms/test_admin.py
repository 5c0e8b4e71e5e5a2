"""What staff see of numbers and texts."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape

from conversations.models import Conversation
from sms.models import Answer, Contact, DeliveryEvent, InboundMessage, State, Thread
from sms.numbers import Address
from sms.payload import IncomingText
from sms.services.inbound import text_receive
from tests.sms.payloads import OURS, PERSON

pytestmark = pytest.mark.django_db


@pytest.fixture
def answer() -> Answer:
    contact = Contact.objects.create(number=PERSON)
    thread = Thread.objects.create(contact=contact, our_number=OURS, opted_out_at=timezone.now())
    inbound = InboundMessage.objects.create(sid="SMin", thread=thread, kind="command")
    answer = Answer.objects.create(
        inbound=inbound,
        thread=thread,
        text="a text",
        encoding="GSM-7",
        segments=1,
        state=State.SENT,
        sid="SMout",
        delivery_status="undelivered",
        error_code="30006",
    )
    for status in ("queued", "sent", "undelivered"):
        DeliveryEvent.objects.create(answer=answer, sid="SMout", status=status)
    return answer


def staff(client: Client, *permissions: str) -> User:
    user = User.objects.create_user("staff", is_staff=True)
    for name in permissions:
        user.user_permissions.add(Permission.objects.get(codename=name))
    client.force_login(user)
    return user


def test_numbers_are_masked_on_every_page(admin_client: Client, answer: Answer) -> None:
    contact = Contact.objects.get()
    for path in (
        "contact/",
        f"contact/{contact.pk}/change/",
        f"contact/{contact.pk}/delete/",
        "inboundmessage/",
        f"inboundmessage/{answer.inbound_id}/change/",
        "answer/",
        f"answer/{answer.pk}/change/",
        "contact/?opted_out=yes",
    ):
        page = admin_client.get(f"/admin/sms/{path}")
        assert page.status_code == 200, path
        assert "+1••••••••23" in page.content.decode()
        assert "5550123" not in page.content.decode()


def says(body: str, number: str = PERSON) -> None:
    sid = f"SM{InboundMessage.objects.count()}"
    text_receive(text=IncomingText(sid, Address(number), Address(OURS), body))


@pytest.mark.usefixtures("characters")
def test_a_number_leads_to_all_its_chats_the_latest_first(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    says("hello")
    path = f"/admin/sms/contact/{Contact.objects.get().pk}/change/"

    def shown() -> tuple[list[str], int]:
        with CaptureQueriesContext(connection) as queries:
            page = admin_client.get(path).content.decode()
        return re.findall(r'/conversation/([^/]+)/change/">\w+, <time', page), len(queries)

    shown()  # what is looked up once for all pages
    _, queries = shown()
    for body in ("/reset", "hello again", "still there?", "/reset"):
        says(body)
    says("hello from elsewhere", "+14155550199")
    _, *theirs = [str(conversation.pk) for conversation in Conversation.objects.all()]
    assert len(theirs) == 3
    assert shown() == (theirs, queries)
    monkeypatch.setattr("sms.admin.CHATS", 2)
    assert shown() == (theirs[:2], queries)


def test_what_goes_with_a_number_is_counted_before_it_is_deleted(
    client: Client, answer: Answer
) -> None:
    contact = Contact.objects.get()
    user = staff(client, "view_contact", "delete_contact")
    path = f"/admin/sms/contact/{contact.pk}/delete/"
    assert "Cannot delete phone number" in client.get(path).content.decode()
    assert client.post(path, {"post": "yes"}).status_code == 403
    for name in ("delete_inboundmessage", "delete_answer"):
        user.user_permissions.add(Permission.objects.get(codename=name))
    page = client.get(path).content.decode()
    for counted in ("Phone numbers: 1", "Received texts: 1", "Answers: 1"):
        assert counted in page
    assert "SMin" not in page
    assert client.post(path, {"post": "yes"}).status_code == 302
    assert not InboundMessage.objects.exists()
    assert not DeliveryEvent.objects.exists()


def test_a_number_is_revealed_to_whom_may_see_it_and_on_record(
    client: Client, answer: Answer
) -> None:
    contact = Contact.objects.get()
    user = staff(client, "view_contact", "reveal_number")
    page = client.get(f"/admin/sms/contact/{contact.pk}/change/").content.decode()
    assert "Show the number in full" in page
    assert client.get(f"/admin/sms/contact/{contact.pk}/reveal/").status_code == 302
    assert not LogEntry.objects.exists()
    response = client.post(f"/admin/sms/contact/{contact.pk}/reveal/")
    assert PERSON in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (user, str(contact.pk))
    assert entry.change_message == "Looked at the number in full."
    assert PERSON not in entry.object_repr


def test_without_the_permission_no_number_is_revealed(client: Client, answer: Answer) -> None:
    contact = Contact.objects.get()
    staff(client, "view_contact")
    page = client.get(f"/admin/sms/contact/{contact.pk}/change/").content.decode()
    assert "Show the number in full" not in page
    assert client.post(f"/admin/sms/contact/{contact.pk}/reveal/").status_code == 403
    assert not LogEntry.objects.exists()


def test_a_number_is_found_only_as_a_whole(admin_client: Client, answer: Answer) -> None:
    found = admin_client.get("/admin/sms/contact/", {"q": "+1 415 555 0123"})
    assert "1 phone number" in found.content.decode()
    part = admin_client.get("/admin/sms/contact/", {"q": "5550123"})
    assert "0 phone numbers" in part.content.decode()


@pytest.mark.parametrize(
    "path",
    [
        "contact/?number__startswith=%2B1415",
        "contact/?number=%2B14155550123",
        "inboundmessage/?thread__contact__number__startswith=%2B1415",
        "answer/?thread__contact__number__startswith=%2B1415",
        "answer/?thread__our_number__startswith=%2B1",
    ],
)
def test_no_list_can_be_narrowed_by_parts_of_a_number(
    client: Client, answer: Answer, path: str
) -> None:
    staff(client, "view_contact", "view_inboundmessage", "view_answer")
    assert client.get(f"/admin/sms/{path}").status_code == 400
    assert client.get("/admin/sms/contact/?is_blocked__exact=0").status_code == 200


def test_a_number_can_be_blocked_before_it_texts(admin_client: Client) -> None:
    wrong = admin_client.post(
        "/admin/sms/contact/add/", {"number": "0123", "is_blocked": "on"} | NO_THREADS
    )
    assert "A phone number is written with +" in wrong.content.decode()
    admin_client.post(
        "/admin/sms/contact/add/", {"number": PERSON, "is_blocked": "on"} | NO_THREADS
    )
    assert Contact.objects.get().is_blocked
    assert LogEntry.objects.get().object_repr == "+1••••••••23"


def test_a_page_opened_before_a_number_was_blocked_does_not_unblock_it(
    admin_client: Client,
) -> None:
    contact = Contact.objects.create(number=PERSON)
    path = f"/admin/sms/contact/{contact.pk}/change/"
    form = admin_client.get(path).context["adminform"].form
    opened = form["opened_as"].value()
    assert f'name="opened_as" value="{escape(opened)}"' in admin_client.get(path).content.decode()
    Contact.objects.update(is_blocked=True)
    stale = admin_client.post(path, {"note": "nice", "opened_as": opened} | NO_THREADS)
    assert "Blocked is now: yes" in stale.content.decode()
    contact.refresh_from_db()
    assert (contact.is_blocked, contact.note) == (True, "")


NO_THREADS = {"threads-TOTAL_FORMS": "0", "threads-INITIAL_FORMS": "0"}


def test_numbers_are_blocked_and_unblocked_from_the_list(
    admin_client: Client, answer: Answer
) -> None:
    for action, blocked in (("block", True), ("unblock", False)):
        admin_client.post(
            "/admin/sms/contact/",
            {"action": action, "_selected_action": [Contact.objects.get().pk]},
        )
        assert Contact.objects.get().is_blocked == blocked
    assert LogEntry.objects.count() == 2


def test_failures_are_found_and_show_their_history(admin_client: Client, answer: Answer) -> None:
    for query, found in (("failed", "1 answer"), ("owed", "0 answers"), ("arrived", "0 answers")):
        page = admin_client.get("/admin/sms/answer/", {"delivery": query}).content.decode()
        assert found in page
    page = admin_client.get(f"/admin/sms/answer/{answer.pk}/change/").content.decode()
    assert "https://www.twilio.com/docs/api/errors/30006" in page
    assert page.index("queued") < page.rindex("undelivered")
    assert admin_client.get("/admin/sms/answer/add/").status_code == 403


@pytest.mark.parametrize(
    ("path", "field"), [("inboundmessage/", "received_at"), ("answer/", "inbound__received_at")]
)
def test_lists_lead_to_dates_without_reading_every_row(
    admin_client: Client, answer: Answer, path: str, field: str
) -> None:
    InboundMessage.objects.update(received_at=datetime(2026, 2, 3, tzinfo=UTC))
    with CaptureQueriesContext(connection) as queries:
        page = admin_client.get(f"/admin/sms/{path}").content.decode()
    assert f'href="?{field}__month=2&amp;{field}__year=2026">February 2026</a>' in page
    assert not any("trunc" in query["sql"].lower() for query in queries)
    for year, found in (("2026", True), ("2025", False)):
        narrowed = admin_client.get(f"/admin/sms/{path}", {f"{field}__year": year})
        assert ("+1••••••••23" in narrowed.content.decode()) is found


def test_texts_and_answers_are_found_by_their_sid(admin_client: Client, answer: Answer) -> None:
    for path, search, found in (
        ("inboundmessage/", "SMin", True),
        ("inboundmessage/", "SMi", False),
        ("answer/", "SMout", True),
        ("answer/", "30006", True),
        ("answer/", "3000", False),
    ):
        page = admin_client.get(f"/admin/sms/{path}", {"q": search}).content.decode()
        assert ("+1••••••••23" in page) is found, search
