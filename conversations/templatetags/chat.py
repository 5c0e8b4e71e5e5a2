"""What the chat's templates need beyond Django's own tags."""

from __future__ import annotations

from django import template

from conversations.theme import Theme, theme_of

register = template.Library()


@register.filter
def theme(color: str) -> Theme:
    """The theme of a character's colour."""
    return theme_of(color)
