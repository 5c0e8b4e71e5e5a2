"""Who takes leave in a dialogue. Crowd workers and scripts say goodbye after a dozen turns; a
character that learnt it from them would walk out on whoever is chatting with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

NOBODY = -1
_FAREWELL = re.compile(
    r"\b(?:good ?bye|bye(?:[ -]bye)?(?! week)|ttyl|take care(?= *[.!]|$)|good ?night"
    r"|(?:see|talk to) (?:you|ya) (?:later|soon|around|tomorrow|again)"
    r"|i(?:'ve)?(?: \w+){0,2} (?:have|got|need) to (?:go|run|leave|get going|head)"
    r"(?= now| soon| *[.,!]|$)|gotta (?:go|run)(?= *[.,!]|$)"
    r"|(?:nice|great|good|fun|lovely|pleasure) (?:talking|chatting|speaking)"
    r"|have a (?:nice|great|good|wonderful|lovely) (?:day|night|evening|weekend|afternoon|one))\b",
    re.IGNORECASE,
)


def takes_leave(text: str) -> bool:
    """Whether somebody who says this is about to go."""
    return _FAREWELL.search(text.replace("\u2019", "'")) is not None


def first_farewell(turns: Sequence[str]) -> int:
    """The first turn of the second half in which somebody takes leave, or NOBODY: earlier,
    "good night" is a subject."""
    late = range(len(turns) // 2, len(turns))
    return next((number for number in late if takes_leave(turns[number])), NOBODY)
