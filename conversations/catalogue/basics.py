"""How old a character is and where it comes from: what people ask first, in plain lines.

The bank's lines are what only this character would say, and nine of ten tell neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from conversations.catalogue.bank import Bank, Trait

AGE, ORIGIN = "age", "from"
# The years of each stage of life, without the last; the old can have been married for fifty.
_STAGES = {"young": (20, 30), "middle": (30, 60), "old": (70, 87)}
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty")
_ONES = ("", "-one", "-two", "-three", "-four", "-five", "-six", "-seven", "-eight", "-nine")
# Whoever has a grandmother, or a baby, is not much older.
_NOT_SO_OLD, _MOST_WITH = frozenset({"grandmother:alive", "child:baby"}), 44
# Most cities have seen snow, and many the sea.
_NOT_FROM_A_CITY = frozenset({"snow:never", "secret:never-saw-the-sea"})


def basics(
    traits: Sequence[Trait], cities: Sequence[str], bank: Bank, random: Random
) -> tuple[Trait, ...]:
    """Traits that tell age and origin, each where the others do not and nothing speaks against
    it. `cities` are those that somebody of that name may come from."""
    known = frozenset().union(*(trait.tags for trait in traits))
    # Always as many numbers are drawn: what one character tells changes no other.
    by_age, by_city = random.random(), random.random()
    made = []
    clashes = frozenset().union(*(trait.clashes for trait in traits))
    years = _years(known, [stage for stage in _STAGES if _may_be(stage, known, clashes, bank)])
    if years and not _tells(AGE, known):
        made.append(_plain(AGE, _in_words(years[int(by_age * len(years))])))
    elsewhere = [city for city in cities if f"lives:{city}" not in known]
    if not _tells(ORIGIN, known) and known.isdisjoint(_NOT_FROM_A_CITY):
        made.append(_plain(ORIGIN, elsewhere[int(by_city * len(elsewhere))]))
    return tuple(made)


def _tells(key: str, known: frozenset[str]) -> bool:
    return any(tag.startswith(f"{key}:") for tag in known)


def _may_be(stage: str, known: frozenset[str], clashes: frozenset[str], bank: Bank) -> bool:
    tag = f"stage:{stage}"
    return tag in known or (tag not in clashes and bank.excluded[tag].isdisjoint(known))


def _years(known: frozenset[str], stages: list[str]) -> list[int]:
    """The ages that somebody of one of these stages may have who states these tags."""
    if "life:student" in known and "young" in stages:
        stages = ["young"]
    elif len(stages) > 1 and "old" in stages:
        stages.remove("old")  # they say so themselves
    most = _MOST_WITH if known & _NOT_SO_OLD else _STAGES["old"][1]
    return [age for stage in stages for age in range(*_STAGES[stage]) if age <= most]


def _in_words(age: int) -> str:
    return f"{_TENS[age // 10 - 2]}{_ONES[age % 10]}"


def _plain(key: str, value: str) -> Trait:
    said = f"I am from {value.replace('-', ' ')}." if key == ORIGIN else f"I am {value}."
    return Trait(
        text=said,
        category=key,
        tags=frozenset({f"{key}:{value}"}),
        needs=(),
        ties=frozenset(),
        clashes=frozenset(),
    )
