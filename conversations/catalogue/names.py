"""Names, the cities that go with them, and avatar colours (`names.toml`, `palette.toml`)."""

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
class Place:
    """Where names are common; hyphens in a city's name stand for spaces, as in tags."""

    given: tuple[str, ...]
    family: tuple[str, ...]
    cities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """Given names and family names, place by place."""

    places: tuple[Place, ...]

    def draw(self, random: Random) -> tuple[str, Place]:
        """A name as in "Amara Okafor", and where the given name is common."""
        place = family_place = self._place(random)
        if random.random() < MIXED_CHANCE:
            family_place = self._place(random)
        first = place.given[int(random.random() * len(place.given))]
        last = family_place.family[int(random.random() * len(family_place.family))]
        return f"{first} {last}", place

    def _place(self, random: Random) -> Place:
        return self.places[int(random.random() * len(self.places))]


@cache
def load_names() -> Names:
    """The names as shipped, read once per process."""
    data = tomllib.loads((HERE / "names.toml").read_text(encoding="utf-8"))
    return Names(
        tuple(
            Place(**{key: tuple(place[key].split()) for key in ("given", "family", "cities")})
            for place in data["place"]
        )
    )


@cache
def load_palette() -> tuple[str, ...]:
    """The avatar colours as shipped, as #rrggbb."""
    data = tomllib.loads((HERE / "palette.toml").read_text(encoding="utf-8"))
    return tuple(data["colors"])
