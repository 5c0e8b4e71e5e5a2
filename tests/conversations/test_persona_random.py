"""Who answers in a new conversation: any active character, found without listing them all."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations.models import Persona
from conversations.services.errors import NoCharacter
from conversations.services.personas import persona_random

pytestmark = pytest.mark.django_db


@pytest.fixture
def _forty() -> None:
    call_command("load_personas", "--count", "40", "--json", verbosity=0, stdout=StringIO())


@pytest.mark.usefixtures("_forty")
def test_random_meets_every_active_one_and_no_other() -> None:
    active = set(Persona.objects.order_by("id").values_list("id", flat=True)[::13])
    Persona.objects.exclude(id__in=active).update(is_active=False)
    assert {persona_random().pk for _ in range(200)} == active


@pytest.mark.usefixtures("_forty")
def test_random_besides_somebody_meets_another() -> None:
    one, two = Persona.objects.order_by("id")[:2]
    Persona.objects.exclude(id__in=[one.pk, two.pk]).update(is_active=False)
    assert {persona_random(besides=one).pk for _ in range(20)} == {two.pk}
    Persona.objects.filter(pk=two.pk).update(is_active=False)
    assert persona_random(besides=one) == one


def test_random_without_characters_says_what_to_do() -> None:
    with pytest.raises(NoCharacter, match="load_personas"):
        persona_random()


@pytest.mark.usefixtures("_forty")
def test_random_asks_for_a_number_and_one_row() -> None:
    with CaptureQueriesContext(connection) as queries:
        persona_random()
    statements = [query["sql"] for query in queries.captured_queries]
    assert len(statements) == 2
    assert "COUNT(" in statements[0]
    assert "LIMIT 1" in statements[1]
