"""A character's colour as the page uses it.

The page takes only the hue of a character's colour and sets lightness and chroma itself, so that
text on it is readable whatever the colour. Hues are those of OKLCH (Björn Ottosson, "A perceptual
color space for image processing", 2020) in steps of 15 degrees: the style sheet has a rule for
each, because the content security policy allows no style attributes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

HUE_STEP = 15
# Below the first chroma a colour reads as grey and has no hue worth showing; below the second it
# is a muted one, and so is the page.
GREY_CHROMA, MUTED_CHROMA = 0.02, 0.07


@dataclass(frozen=True, slots=True)
class Theme:
    """`hue`: degrees, a multiple of 15 below 360, or None for a grey. `is_muted`: whether the page
    takes on only a little of it. `ink`: the colour of letters on the character's colour."""

    hue: int | None
    is_muted: bool
    ink: str

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def theme_of(color: str) -> Theme:
    """The theme of a colour written as #rrggbb."""
    red, green, blue = (_linear(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
    degrees = math.degrees(math.atan2(b, a)) % 360
    hue = round(degrees / HUE_STEP) * HUE_STEP % 360
    chroma = math.hypot(a, b)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return Theme(
        hue=None if chroma < GREY_CHROMA else hue,
        is_muted=chroma < MUTED_CHROMA,
        # Where white and near-black have the same contrast (WCAG 2.2, relative luminance).
        ink="#ffffff" if luminance < 0.18 else "#1c1a17",
    )


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
