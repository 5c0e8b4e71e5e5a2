"""Characters written or changed by staff."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from django.db.models import QuerySet

from conversations.models import Persona
from conversations.services.texts import is_visible, text_clean

MAX_LINES = 12
MAX_LINE_LENGTH = 200
STAFF_SOURCE = "staff"


class PersonaInvalid(ValueError):
    """A character that cannot be kept; each of `problems` says what is wrong and where."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)


def persona_lines(*, text: str) -> list[str]:
    """The lines of a character from a text with one a line; empty ones are left out.

    Raises PersonaInvalid that names each wrong line by its number in the text.
    """
    numbered = [
        (number, " ".join(text_clean(text=line).split()))
        for number, line in enumerate(text.splitlines(), start=1)
        if is_visible(text=text_clean(text=line))
    ]
    problems = [
        f"Line {number} has {len(line)} characters; at most {MAX_LINE_LENGTH} are possible."
        for number, line in numbered
        if len(line) > MAX_LINE_LENGTH
    ]
    if not numbered:
        problems.append("Write at least one line, for example: I drive a night bus.")
    if len(numbered) > MAX_LINES:
        problems.append(f"There are {len(numbered)} lines; at most {MAX_LINES} are possible.")
    seen: dict[str, int] = {}
    for number, line in numbered:
        first = seen.setdefault(line.casefold(), number)
        if first != number:
            problems.append(f"Line {number} says the same as line {first}.")
    if problems:
        raise PersonaInvalid(problems)
    return [line for _, line in numbered]


def persona_same(*, lines: Sequence[str]) -> Persona | None:
    """The character that was first loaded with exactly these lines, if there is one."""
    return Persona.objects.filter(digest=persona_digest(lines)).first()


def persona_save(*, persona: Persona) -> Persona:
    """Keep a new or changed character.

    A new one gets its digest from its lines. A changed one keeps the digest it was loaded with:
    loading the catalogue again must not bring the unchanged character back beside it.
    """
    if not persona.digest:
        persona.digest = persona_digest(persona.lines)
        persona.source = persona.source or STAFF_SOURCE
    persona.save()
    return persona


def personas_switch(*, personas: QuerySet[Persona], on: bool) -> int:
    """Let new conversations meet these characters, or not. Returns how many changed."""
    return personas.filter(is_active=not on).update(is_active=on)


def persona_digest(lines: Sequence[str]) -> str:
    """SHA-256 of the lines. Their order does not make another character."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
