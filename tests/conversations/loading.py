"""`manage.py load_personas` for tests, and what it left in the database."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command

from conversations.models import Persona

FIXTURES = Path(__file__).parents[1] / "fixtures" / "personas"


def load(*args: object, **options: Any) -> dict[str, Any]:
    out = StringIO()
    call_command("load_personas", *map(str, args), "--json", stdout=out, **options)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def all_lines() -> set[tuple[str, ...]]:
    return {tuple(lines) for lines in Persona.objects.values_list("lines", flat=True)}
