"""Signing in on the site and in the admin: whose conversations are whose, and how often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from conversations.models import Conversation
from conversations.services import limits

PASSWORD = "a long walk by the sea"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("persona")]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password=PASSWORD)


@pytest.fixture(autouse=True)
def _limits_of_its_own(settings: Settings) -> Iterator[None]:
    settings.ENV = settings.ENV.model_copy(update={"sign_in_rate": "3/hour"})
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    limits.limiter.cache_clear()
    yield
    limits.limiter.cache_clear()


def sign_in(client: Client, password: str = PASSWORD, **changes: str) -> str:
    """Where the form leads; "" when it comes back."""
    given = {"username": "ada", "password": password}
    address = changes.pop("address", "203.0.113.5")
    path = changes.pop("path", "/sign-in/")
    response = client.post(path, given | changes, REMOTE_ADDR=address)
    return response.headers.get("Location", "")


def started(client: Client) -> str:
    return client.get("/").headers["Location"]


def test_what_a_browser_said_before_is_the_person_s_in_every_browser(
    client: Client, ada: User
) -> None:
    before = started(client)
    assert b'href="/sign-in/"' in client.get("/conversations/").content
    assert sign_in(client) == "/conversations/"
    after = started(client)
    elsewhere = Client()
    assert elsewhere.get(before).status_code == 404
    sign_in(elsewhere)
    assert {elsewhere.get(page).status_code for page in (before, after)} == {200}
    assert b"Signed in as <bdi>ada</bdi>" in elsewhere.get("/conversations/").content
    assert set(Conversation.objects.values_list("user", flat=True)) == {ada.pk}


def test_what_a_browser_said_before_it_signed_in_to_the_admin_is_not_lost(
    client: Client, ada: User
) -> None:
    ada.is_staff = True
    ada.save()
    before = started(client)
    assert sign_in(client, path="/admin/login/?next=/admin/") == "/admin/"
    assert Conversation.objects.get().user == ada
    client.post("/admin/logout/")
    assert client.get(before).status_code == 404
    ada.is_staff = False
    ada.save()
    sign_in(client)
    assert client.get(before).status_code == 200


@pytest.mark.usefixtures("ada")
def test_after_signing_out_nothing_of_it_is_left_in_the_browser(client: Client) -> None:
    sign_in(client)
    page = started(client)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/").headers["Location"] == "/conversations/"
    assert client.get(page).status_code == 404


@pytest.mark.usefixtures("ada")
def test_another_person_s_conversations_are_not_taken(client: Client) -> None:
    User.objects.create_user("grace", password=PASSWORD)
    sign_in(client)
    page = started(client)
    client.post("/sign-out/")
    sign_in(client, username="grace")
    assert client.get(page).status_code == 404


@pytest.mark.usefixtures("ada")
def test_a_wrong_password_is_told_and_a_foreign_address_not_followed(client: Client) -> None:
    response = client.post("/sign-in/", {"username": "ada", "password": "wrong"})
    assert "correct username and password" in response.content.decode()
    assert sign_in(client, next="https://elsewhere.example/") == "/conversations/"


@pytest.mark.parametrize("path", ["/sign-in/", "/admin/login/?next=/admin/"])
def test_passwords_cannot_be_guessed_quickly(client: Client, path: str, ada: User) -> None:
    ada.is_staff = True
    ada.save()
    for _ in range(3):
        assert sign_in(client, "wrong", path=path) == ""
    refused = client.post(
        path, {"username": "ada", "password": PASSWORD}, REMOTE_ADDR="203.0.113.5"
    )
    assert "a lot of attempts to sign in" in refused.content.decode()
    assert sign_in(client, path=path, address="203.0.113.6") != ""


@pytest.mark.usefixtures("ada")
def test_a_name_is_not_guessed_at_from_everywhere(client: Client) -> None:
    for number in range(60):
        sign_in(client, "wrong", address=f"203.0.113.{number}")
    assert sign_in(client, address="198.51.100.1") == ""


@pytest.mark.usefixtures("ada")
def test_the_admin_is_for_staff(client: Client) -> None:
    assert sign_in(client, path="/admin/login/?next=/admin/") == ""
