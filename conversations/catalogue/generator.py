"""Makes characters from the trait bank: the same ones from the same seed, on any machine.

Only `Random.random()` is used: Python promises its sequence for a seed across versions, but not
that of `choice`, `sample` or `shuffle`. No order comes from a set or a hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import TypeVar

from conversations.catalogue.bank import CATEGORIES, TYING_KEYS, Bank, Trait, load_bank
from conversations.catalogue.basics import basics
from conversations.catalogue.names import Names, Place, load_names, load_palette

DEFAULT_COUNT = 20_000
DEFAULT_SEED = 2019
# How many lines of the bank a character has, and how often.
SIZES = (4, 5, 5, 5, 6, 6)
MIN_LINES = min(SIZES)
# How readily a category is chosen, beside the job that everybody has.
WEIGHTS = {
    "self": 8,
    "home": 14,
    "family": 12,
    "pet": 12,
    "taste": 11,
    "hobby": 12,
    "story": 9,
    "quirk": 12,
    "dream": 6,
    "secret": 14,
}
# Chance that a line belongs to the job or the pet, for each such line there is, and at most.
TIED_CHANCE = 0.5
MAX_TIED_CHANCE = 0.75
# Chance that the avatar shows the pet rather than the job.
PET_EMBLEM_CHANCE = 0.3
# Draws before a category is given up for this character.
DRAWS = 60

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Character:
    """A made character. `traits` says where each of its lines comes from, tags included."""

    name: str
    color: str
    emblem: str
    traits: tuple[Trait, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(trait.text for trait in self.traits)

    @property
    def tags(self) -> frozenset[str]:
        """What is known about the character, as `key:value`."""
        return frozenset().union(*(trait.tags for trait in self.traits))


def characters(*, count: int = DEFAULT_COUNT, seed: int = DEFAULT_SEED) -> Iterator[Character]:
    """Make `count` characters, no two with the same set of lines.

    A larger count begins with the same characters as a smaller one. Raises CatalogueError when
    the bank has a mistake.
    """
    bank, names, palette = load_bank(), load_names(), load_palette()
    random, random_basics = Random(seed), Random(f"{seed} basics")  # noqa: S311
    jobs = _deck(bank.by_category["job"], random)
    seen: set[frozenset[str]] = set()
    named: set[str] = set()
    while len(seen) < count:
        traits = _traits(bank, next(jobs), random)
        lines = frozenset(trait.text for trait in traits)
        if len(lines) < MIN_LINES or lines in seen:
            continue
        seen.add(lines)
        name, place = _new_name(names, named, random)
        yield Character(
            name=name,
            color=_pick(palette, random),
            emblem=_emblem(traits, random),
            traits=traits + basics(traits, place.cities, bank, random_basics),
        )


def _deck(cards: Sequence[T], random: Random) -> Iterator[T]:
    """The cards shuffled, again and again: each comes up equally often."""
    while True:
        rest = list(cards)
        while rest:
            yield rest.pop(_below(len(rest), random))


def _traits(bank: Bank, job: Trait, random: Random) -> tuple[Trait, ...]:
    size = _pick(SIZES, random)
    chosen = {"job": job}
    for category in _some_categories(size - 1, random):
        if trait := _compatible(bank, category, list(chosen.values()), random):
            chosen[category] = trait
    return tuple(chosen[category] for category in CATEGORIES if category in chosen)


def _some_categories(number: int, random: Random) -> list[str]:
    """Different categories by weight, in the order of CATEGORIES."""
    weights = dict(WEIGHTS)
    for _ in range(number):
        place = _below(sum(weights.values()), random)
        ends = accumulate(weights.values())
        del weights[next(key for key, end in zip(weights, ends, strict=True) if place < end)]
    return [category for category in WEIGHTS if category not in weights]


def _compatible(bank: Bank, category: str, others: list[Trait], random: Random) -> Trait | None:
    """A trait that agrees with the others, rather one that belongs to them; None if none does."""
    known = frozenset().union(*(other.tags for other in others))
    # In sorted order: that of a set changes from one process to the next.
    tags = sorted(tag for tag in known if tag.startswith(TYING_KEYS))
    tied = list(dict.fromkeys(t for tag in tags for t in bank.tied.get((category, tag), ())))
    if tied and random.random() < min(TIED_CHANCE * len(tied), MAX_TIED_CHANCE):
        trait = _pick(tied, random)
        if _fits(trait, others, known):
            return trait
    for _ in range(DRAWS):
        trait = _pick(bank.untied[category], random)
        if _fits(trait, others, known):
            return trait
    return None


def _fits(trait: Trait, others: list[Trait], known: frozenset[str]) -> bool:
    return all(not group.isdisjoint(known) for group in trait.needs) and all(
        trait.agrees(other) for other in others
    )


def _new_name(names: Names, named: set[str], random: Random) -> tuple[str, Place]:
    """A name that nobody has yet, as long as that is easily found, and where it is common."""
    for _ in range(20):
        name, place = names.draw(random)
        if name not in named:
            break
    named.add(name)
    return name, place


def _emblem(traits: Sequence[Trait], random: Random) -> str:
    by_category = {trait.category: trait.emblem for trait in traits if trait.emblem}
    if "pet" in by_category and random.random() < PET_EMBLEM_CHANCE:
        return by_category["pet"]
    return by_category["job"]


def _pick(items: Sequence[T], random: Random) -> T:
    return items[_below(len(items), random)]


def _below(limit: int, random: Random) -> int:
    return int(random.random() * limit)
