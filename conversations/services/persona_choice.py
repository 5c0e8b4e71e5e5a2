"""Choosing a character by name, by number or by chance that can be repeated."""

from __future__ import annotations

from random import Random

from conversations.digits import number_from
from conversations.models import Persona
from conversations.selectors import personas_active
from conversations.services.errors import NoCharacter
from conversations.services.personas import persona_random

NAMED = 5


class PersonaUnclear(LookupError):
    """No character, or more than one, is meant; the message says which ones come close."""


def persona_choose(*, wanted: str, seed: int | None = None) -> Persona:
    """The character with this number or name, or any active one for `random`.

    The same `seed` draws the same character as long as the same ones are active. Raises
    PersonaUnclear, NoCharacter.
    """
    if wanted == "random":
        return persona_random() if seed is None else _drawn(seed)
    number = number_from(wanted)
    if number is not None:
        persona = Persona.objects.filter(pk=number).first()
        if persona is None:
            raise PersonaUnclear(f"There is no character number {number}.")
        return persona
    return _named(wanted)


def _drawn(seed: int) -> Persona:
    active = personas_active().order_by("id")
    number = active.count()
    if not number:
        raise NoCharacter
    return active[int(Random(seed).random() * number)]  # noqa: S311


def _named(name: str) -> Persona:
    same = list(Persona.objects.filter(name__iexact=name)[: NAMED + 1])
    if len(same) == 1:
        return same[0]
    found = same or list(Persona.objects.filter(name__icontains=name)[: NAMED + 1])
    if not found:
        raise PersonaUnclear(f"There is no character called {name!r}.")
    listed = ", ".join(f"{each.pk} {each.name}" for each in found[:NAMED])
    more = ", …" if len(found) > NAMED else ""
    if same:
        raise PersonaUnclear(f"Several are called {name!r}; choose by number: {listed}{more}")
    raise PersonaUnclear(f"Nobody is called exactly {name!r}; close are: {listed}{more}")
