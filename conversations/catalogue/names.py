"""Names and avatar colours (`names.toml`, `palette.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
# Chance that given name and family name come from different places.
MIXED_CHANCE = 0.2


@dataclass(frozen=True, slots=True)
class Names:
    """Given names and family names, place by place."""

    places: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

    def draw(self, random: Random) -> str:
        """A name as in "Amara Okafor"."""
        given_place = family_place = self._place(random)
        if random.random() < MIXED_CHANCE:
            family_place = self._place(random)
        given, family = self.places[given_place][0], self.places[family_place][1]
        first = given[int(random.random() * len(given))]
        return f"{first} {family[int(random.random() * len(family))]}"

    def _place(self, random: Random) -> int:
        return int(random.random() * len(self.places))


@cache
def load_names() -> Names:
    """The names as shipped, read once per process."""
    data = tomllib.loads((HERE / "names.toml").read_text(encoding="utf-8"))
    return Names(
        tuple(
            (tuple(place["given"].split()), tuple(place["family"].split()))
            for place in data["place"]
        )
    )


@cache
def load_palette() -> tuple[str, ...]:
    """The avatar colours as shipped, as #rrggbb."""
    data = tomllib.loads((HERE / "palette.toml").read_text(encoding="utf-8"))
    return tuple(data["colors"])
