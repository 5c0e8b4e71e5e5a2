"""Where characters come from, and who answers in a new conversation."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from django.db import transaction

from conversations.catalogue import DEFAULT_COUNT, DEFAULT_SEED, characters
from conversations.catalogue.names import load_names, load_palette
from conversations.models import Persona
from conversations.selectors import personas_active
from conversations.services.errors import NoCharacter
from conversations.services.persona_edits import persona_digest
from conversations.services.persona_files import DamagedLine, PersonaFile

CATALOGUE_SOURCE = "catalogue"
DEFAULT_MAX_ERRORS = 100
BATCH = 500

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did: characters added, characters that were there before (switched off or
    edited ones included), and places of the file that were left out as damaged."""

    source: str
    added: int
    already_there: int
    damaged: tuple[DamagedLine, ...] = ()


def persona_random(*, besides: Persona | None = None) -> Persona:
    """Any active character, each as likely as the others.

    `besides` is not chosen unless it is the only one. Counts and skips along an index of the
    active ones: a few milliseconds for 40,000, and their ids never leave the database.
    Raises NoCharacter.
    """
    active = personas_active().order_by("id")
    others = active.exclude(pk=besides.pk) if besides else active
    number = others.count()
    if number:
        place = secrets.randbelow(number)
        # None when somebody has switched characters off in this very moment.
        persona = others[place : place + 1].first() or active.first()
    else:
        persona = active.first()
    if persona is None:
        raise NoCharacter
    return persona


def personas_load_catalogue(
    *, count: int = DEFAULT_COUNT, seed: int = DEFAULT_SEED, progress: Progress | None = None
) -> Loaded:
    """Add the built-in characters that are not there yet, all or none.

    `progress` is called with the number of characters made since the last call. Raises
    CatalogueError when the trait bank has a mistake.
    """
    made = (
        Persona(
            name=character.name,
            lines=list(character.lines),
            color=character.color,
            emblem=character.emblem,
            source=CATALOGUE_SOURCE,
            digest=persona_digest(character.lines),
        )
        for character in characters(count=count, seed=seed)
    )
    added, there = _add(made, progress)
    return Loaded(CATALOGUE_SOURCE, added, there)


def personas_import(
    *,
    path: Path,
    file_format: str | None = None,
    max_errors: int = DEFAULT_MAX_ERRORS,
    progress: Progress | None = None,
) -> Loaded:
    """Add the characters of a file that are not there yet, all or none.

    The format is found out unless it is given. `progress` is called with the number of bytes read
    since the last call. Raises PersonaFileError when the file cannot be read, has no characters
    or more than `max_errors` damaged places.
    """
    file = PersonaFile(path, file_format=file_format, max_errors=max_errors)
    with file:
        position = 0

        def report(_: int) -> None:
            nonlocal position
            if progress:
                progress(file.position - position)
                position = file.position

        drafts = (persona_draft(lines=lines, source=file.format) for lines in file)
        added, there = _add(drafts, report)
    return Loaded(file.format, added, there, tuple(file.damaged))


def persona_draft(*, lines: list[str], source: str) -> Persona:
    """An unsaved character from bare lines. Name and colour come from the lines, so that the same
    lines get the same ones everywhere."""
    digest = persona_digest(lines)
    random = Random(int(digest[:16], 16))  # noqa: S311
    name, _ = load_names().draw(random)
    palette = load_palette()
    return Persona(
        name=name,
        lines=lines,
        color=palette[int(random.random() * len(palette))],
        emblem="".join(word[0] for word in name.split()),
        source=source,
        digest=digest,
    )


def _add(personas: Iterable[Persona], progress: Progress | None) -> tuple[int, int]:
    """Insert the new ones; rows that are there stay as they are. Returns (added, already there).

    To make them takes far longer than to insert them, and nobody else can write to SQLite while a
    transaction does.
    """
    made: dict[str, Persona] = {}
    there = 0
    for batch in _batches(personas):
        new = {persona.digest: persona for persona in reversed(batch)}
        known = Persona.objects.filter(digest__in=new).values_list("digest", flat=True)
        for digest in {*known, *made}.intersection(new):
            del new[digest]
        made |= dict(reversed(new.items()))
        there += len(batch) - len(new)
        if progress:
            progress(len(batch))
    with transaction.atomic():
        # Another process may be loading the same characters just now.
        Persona.objects.bulk_create(made.values(), batch_size=BATCH, ignore_conflicts=True)
    return len(made), there


def _batches(personas: Iterable[Persona]) -> Iterator[list[Persona]]:
    iterator = iter(personas)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch
