"""Search in SQLite that ignores case in every script.

Its own LIKE does so in ASCII only: "привет" would not find "Привет". How another is put in its
place: sqlite.org/lang_expr.html#like.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper


def search_in_every_script(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """A receiver of `connection_created`."""
    if connection.vendor == "sqlite":
        for arguments in (2, 3):
            connection.connection.create_function("like", arguments, like, deterministic=True)


def like(pattern: str | None, text: Any, escape: str | None = None) -> bool | None:
    """SQL's LIKE with case folded: `%` is any text, `_` any character, but not after `escape`."""
    if pattern is None or text is None:
        return None
    return _compiled(pattern, escape).fullmatch(str(text).casefold()) is not None


@lru_cache(maxsize=64)
def _compiled(pattern: str, escape: str | None) -> re.Pattern[str]:
    characters = iter(pattern)
    parts = []
    for character in characters:
        if character == escape:
            parts.append(re.escape(next(characters, "").casefold()))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character.casefold()))
    return re.compile("".join(parts), re.DOTALL)
