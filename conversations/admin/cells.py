"""Small things shown in lists and beside transcripts."""

from __future__ import annotations

import re
from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from conversations.models import Persona
from conversations.theme import theme_of

_COLOR = re.compile(r"#[0-9a-f]{6}")


def persona_avatar(persona: Persona, *, size: int = 28) -> SafeString:
    """A disc `size` pixels wide with the emblem in it. Decoration: the name stands beside it.

    Inline SVG, because colours in its attributes pass the Content-Security-Policy.
    """
    color = persona.color if _COLOR.fullmatch(persona.color) else "#888888"
    return format_html(
        '<svg class="avatar" width="{size}" height="{size}" viewBox="0 0 40 40" aria-hidden="true">'
        '<circle cx="20" cy="20" r="20" fill="{color}"/>'
        '<text x="20" y="21" text-anchor="middle" dominant-baseline="central" font-size="{font}"'
        ' fill="{ink}">{emblem}</text></svg>',
        size=size,
        color=color,
        font=20 if len(persona.emblem) < 3 else 13,
        ink=theme_of(color).ink,
        emblem=persona.emblem,
    )


def moment(value: datetime) -> SafeString:
    """A time of this year without its year."""
    local = timezone.localtime(value)
    pattern = "%d %b, %H:%M" if local.year == timezone.localtime().year else "%d %b %Y, %H:%M"
    return format_html(
        '<time datetime="{}">{}</time>', value.isoformat(), local.strftime(pattern).lstrip("0")
    )
