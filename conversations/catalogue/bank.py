"""Reads the trait bank (`bank/*.toml`) and the laws of consistency (`rules.toml`).

A trait is one sentence that a character may say of itself. What it states is also there for
machines, as tags: `pet:cat`, `diet:vegetarian`, `kids:2`. `docs/personas.md` explains the format.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# In the order in which a character says them, and in which they are chosen: a line that needs
# another one comes after it.
CATEGORIES = (
    "job",
    "self",
    "home",
    "family",
    "pet",
    "taste",
    "hobby",
    "story",
    "quirk",
    "dream",
    "secret",
)
# A line that needs one of these belongs to that job or pet, contradictions included: a lighthouse
# keeper who is afraid of the dark is the point.
TYING_KEYS = ("job:", "pet:")


class CatalogueError(ValueError):
    """The trait bank has a mistake; the message says in which file and line of text."""


@dataclass(frozen=True, slots=True, eq=False)
class Trait:
    """One line of the bank.

    `tags` is what it states, `needs` groups of tags of which the character must already have one
    each, `ties` the jobs and pets among those, `clashes` every tag that it excludes.
    """

    text: str
    category: str
    tags: frozenset[str]
    needs: tuple[frozenset[str], ...]
    ties: frozenset[str]
    clashes: frozenset[str]
    emblem: str = ""

    def agrees(self, other: Trait) -> bool:
        """Whether one character can say both."""
        if not (self.ties.isdisjoint(other.tags) and other.ties.isdisjoint(self.tags)):
            return True
        return self.clashes.isdisjoint(other.tags) and other.clashes.isdisjoint(self.tags)


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """All traits, by text and by category; for the generator also those of a category that are
    tied to no job or pet, those tied to one, by (category, tag), and the tags that each tag
    excludes."""

    by_text: Mapping[str, Trait]
    by_category: Mapping[str, tuple[Trait, ...]]
    untied: Mapping[str, tuple[Trait, ...]]
    tied: Mapping[tuple[str, str], tuple[Trait, ...]]
    excluded: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class _Rules:
    single: frozenset[str]
    once: frozenset[str]
    default: Mapping[str, str]
    implies: Mapping[str, str]
    never: Mapping[str, str]


@cache
def load_bank() -> Bank:
    """The bank as shipped, read once per process.

    Raises CatalogueError when a file has a mistake.
    """
    rules = _read_rules(HERE / "rules.toml")
    entries = [
        (path.name, entry)
        for path in sorted((HERE / "bank").glob("*.toml"))
        for entry in _read_toml(path)["traits"]
    ]
    stated = [_stated(name, entry, rules) for name, entry in entries]
    excluded = _exclusions(frozenset().union(*stated), rules)
    traits = tuple(
        _trait(name, entry, tags, excluded)
        for (name, entry), tags in zip(entries, stated, strict=True)
    )
    return _bank(traits, excluded)


def _bank(traits: tuple[Trait, ...], excluded: Mapping[str, frozenset[str]]) -> Bank:
    by_text: dict[str, Trait] = {}
    tied: dict[tuple[str, str], list[Trait]] = defaultdict(list)
    for trait in traits:
        if by_text.setdefault(trait.text, trait) is not trait:
            raise CatalogueError(f"The trait bank has this line twice: {trait.text}")
        for tag in trait.ties:
            tied[trait.category, tag].append(trait)
    by_category = {key: tuple(t for t in traits if t.category == key) for key in CATEGORIES}
    return Bank(
        by_text=by_text,
        by_category=by_category,
        untied={key: tuple(t for t in found if not t.ties) for key, found in by_category.items()},
        tied={key: tuple(found) for key, found in tied.items()},
        excluded=excluded,
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path.name}: cannot be read ({error}).") from error


def _read_rules(path: Path) -> _Rules:
    data = _read_toml(path)
    return _Rules(
        single=frozenset(data["single"].split()),
        once=frozenset(data["once"].split()),
        default=data["default"],
        implies=data["implies"],
        never=data["never"],
    )


def _category(name: str, entry: Mapping[str, str]) -> str:
    found = [key for key in CATEGORIES if key in entry]
    unknown = set(entry) - {*found, "tags", "needs", "not", "emblem"}
    if len(found) != 1 or unknown:
        raise CatalogueError(
            f"{name}: a trait has one of {', '.join(CATEGORIES)} and may have tags, needs, not "
            f"and emblem; this is {dict(entry)}."
        )
    return found[0]


def _stated(name: str, entry: Mapping[str, str], rules: _Rules) -> frozenset[str]:
    """What a trait states, with what follows from it."""
    text = entry[_category(name, entry)]
    tags = set(entry.get("tags", "").split())
    if not tags or any(":" not in tag for tag in tags):
        raise CatalogueError(f"{name}: tags look like pet:cat; see the line {text!r}.")
    for pattern, given in rules.default.items():
        if any(_matches(tag, pattern) for tag in tags) and not _has_key(tags, given):
            tags.add(given)
    for tag in sorted(tags):
        tags.update(rules.implies.get(tag, "").split())
    return frozenset(tags)


def _trait(
    name: str,
    entry: Mapping[str, str],
    tags: frozenset[str],
    excluded: Mapping[str, frozenset[str]],
) -> Trait:
    category = _category(name, entry)
    needs = tuple(frozenset(group.split("|")) for group in entry.get("needs", "").split())
    own = _expand(entry.get("not", "").split(), excluded)
    ties = frozenset(tag for group in needs for tag in group if tag.startswith(TYING_KEYS))
    for tag in frozenset().union(*needs) - excluded.keys():
        raise CatalogueError(f"{name}: no line gives {tag}, needed by {entry[category]!r}.")
    return Trait(
        text=entry[category],
        category=category,
        tags=tags,
        needs=needs,
        ties=ties,
        clashes=own.union(*(excluded[tag] for tag in tags)),
        emblem=entry.get("emblem", ""),
    )


def _exclusions(known: frozenset[str], rules: _Rules) -> dict[str, frozenset[str]]:
    """Every tag of the bank with the tags that it excludes, by `single`, `once`, `none` and
    `never`."""
    by_key: dict[str, set[str]] = defaultdict(set)
    for tag in known:
        by_key[tag.partition(":")[0]].add(tag)
    excluded: dict[str, set[str]] = {tag: set() for tag in known}
    for tag in known:
        key, _, value = tag.partition(":")
        if key in rules.single or value == "none":
            excluded[tag] |= by_key[key] - {tag}
        if key in rules.once:
            excluded[tag].add(tag)
    for pattern, others in rules.never.items():
        for tag in _expand([pattern], excluded):
            excluded[tag] |= _expand(others.split(), excluded)
    return {tag: frozenset(others) for tag, others in excluded.items()}


def _expand(patterns: Iterable[str], known: Mapping[str, object]) -> frozenset[str]:
    """The known tags that match; `key:*` stands for every value but `none`."""
    found: set[str] = set()
    for pattern in patterns:
        if pattern.endswith(":*"):
            found.update(tag for tag in known if _matches(tag, pattern))
        elif pattern in known:
            found.add(pattern)
    return frozenset(found)


def _matches(tag: str, pattern: str) -> bool:
    key, _, value = pattern.partition(":")
    if value != "*":
        return tag == pattern
    return tag.startswith(key + ":") and tag != key + ":none"


def _has_key(tags: Iterable[str], tag: str) -> bool:
    key = tag.partition(":")[0]
    return any(other.partition(":")[0] == key for other in tags)
