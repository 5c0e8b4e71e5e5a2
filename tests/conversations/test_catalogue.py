"""The built-in characters: enough of them, all different, none who contradicts itself."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from conversations.catalogue import Bank, Character, characters, load_bank
from conversations.catalogue.bank import CATEGORIES
from conversations.catalogue.names import load_palette
from inference.persona.facts import true_answer
from tests.conversations.contradictions import CONTRADICTIONS

PACKAGE = Path(__file__).parents[2] / "conversations" / "catalogue"


@pytest.fixture(scope="module")
def catalogue() -> list[Character]:
    return list(characters())


@pytest.fixture(scope="module")
def bank() -> Bank:
    return load_bank()


def test_it_has_twenty_thousand_different_characters_of_four_to_six_lines_of_the_bank(
    catalogue: list[Character], bank: Bank
) -> None:
    told = [_of_the_bank(character, bank) for character in catalogue]
    assert len(catalogue) >= 20_000
    assert len({frozenset(lines) for lines in told}) == len(catalogue)
    assert {len(set(lines)) for lines in told} == {4, 5, 6}


def _of_the_bank(character: Character, bank: Bank) -> list[str]:
    return [line for line in character.lines if line in bank.by_text]


def test_nearly_everybody_has_an_age_that_fits_and_a_city(catalogue: list[Character]) -> None:
    told = [{tag.partition(":")[0] for tag in character.tags} for character in catalogue]
    for key in ("age", "from"):
        assert sum(key in keys for keys in told) > 0.9 * len(catalogue)
    for character in catalogue:
        for key in ("age", "from"):
            assert sum(tag.startswith(f"{key}:") for tag in character.tags) <= 1
        if any("snow once" in line for line in character.lines):
            assert not any(line.startswith("I am from") for line in character.lines)


@pytest.mark.parametrize(
    ("key", "question"),
    [
        ("pet", "do you have any pets?"),
        ("kids", "do you have kids?"),
        ("siblings", "do you have any siblings?"),
        ("partner:wife", "are you married?"),
        ("partner:husband", "are you married?"),
    ],
)
def test_nobody_denies_whom_their_line_is_about(bank: Bank, key: str, question: str) -> None:
    about = [
        t for t in bank.by_text.values() if any(f"{tag}:".startswith(f"{key}:") for tag in t.tags)
    ]
    about = [t for t in about if not t.tags & {f"{key}:none", "pet:wild-crow"}]
    answers = {trait.text: true_answer(question, [trait.text]) for trait in about}
    denied = [text for text, answer in answers.items() if answer and not answer[0]]
    assert not denied
    affirmed = [text for text, answer in answers.items() if answer]
    assert len(affirmed) > 0.7 * len(about)


@pytest.mark.parametrize(
    ("said", "too_young", "too_old"),
    [
        ("I have seven grandchildren", "twenty thirty forty fifty", ""),
        ("married for fifty years", "twenty thirty forty fifty sixty", ""),
        ("My daughter is a doctor", "twenty thirty", ""),
        ("My son is six", "twenty", "seventy eighty"),
        ("I am retired", "twenty thirty forty fifty", ""),
        ("I study medicine", "", "thirty forty fifty sixty seventy eighty"),
        ("heart surgeon", "twenty", ""),
        ("I live with my grandmother", "", "fifty sixty seventy eighty"),
        ("became a parent last month", "twenty", "fifty sixty seventy eighty"),
    ],
)
def test_an_age_goes_with_what_is_told(
    catalogue: list[Character], said: str, too_young: str, too_old: str
) -> None:
    tens = "|".join([*too_young.split(), *too_old.split()])
    who = [c.lines for c in catalogue if any(said in line for line in c.lines)]
    assert who, f"no line says {said!r}"
    for lines in who:
        assert not any(re.match(rf"I am ({tens})[-a-z]*\.$", line) for line in lines), lines


def test_everybody_has_a_life_and_never_two_lines_of_a_kind(catalogue: list[Character]) -> None:
    for character in catalogue:
        kinds = [trait.category for trait in character.traits]
        assert kinds[0] == "job"
        assert len(set(kinds)) == len(kinds)
        assert sum(tag.startswith("life:") for tag in character.tags) == 1


def test_names_and_avatars_can_be_shown(catalogue: list[Character]) -> None:
    palette = set(load_palette())
    for character in catalogue:
        assert character.color in palette
        assert 1 <= len(character.emblem) <= 8
        assert len(character.name.split()) == 2
    assert len({character.name for character in catalogue}) > 0.95 * len(catalogue)


def test_avatar_colours_carry_white_letters() -> None:
    for color in load_palette():
        assert re.fullmatch(r"#[0-9a-f]{6}", color)
        assert 1.05 / (_luminance(color) + 0.05) >= 4.5, color


def _luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    shares = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("one", "other"), CONTRADICTIONS)
def test_nobody_says_both(catalogue: list[Character], bank: Bank, one: str, other: str) -> None:
    first = {text for text in bank.by_text if re.search(one, text)}
    second = {text for text in bank.by_text if re.search(other, text)}
    assert first, f"no line says {one!r}: the check checks nothing"
    assert second, f"no line says {other!r}: the check checks nothing"
    for character in catalogue:
        pairs = itertools.product(
            first.intersection(character.lines), second.intersection(character.lines)
        )
        both = [pair for pair in pairs if pair[0] != pair[1]]
        assert not both, f"{character.name} says {both[0]}"


def test_every_line_of_the_bank_is_used_and_none_is_everywhere(
    catalogue: list[Character], bank: Bank
) -> None:
    used = Counter(line for one in catalogue for line in _of_the_bank(one, bank))
    assert set(used) == set(bank.by_text)
    assert max(used.values()) < len(catalogue) / 50


def test_lines_are_short_sentences_about_oneself(bank: Bank) -> None:
    assert len(bank.by_text) >= 1_000
    lengths = [len(text.split()) for text in bank.by_text]
    assert max(lengths) <= 16
    assert sum(4 <= length <= 12 for length in lengths) > 0.9 * len(lengths)
    for text in bank.by_text:
        assert text[-1] in ".?!", text
        assert text[0].isupper(), text
        assert "  " not in text


def test_lines_do_not_follow_one_pattern(bank: Bank) -> None:
    openings = Counter(" ".join(text.split()[:3]) for text in bank.by_text)
    assert max(openings.values()) < 0.05 * len(bank.by_text)


def test_jobs_and_pets_have_an_emblem_and_jobs_have_lines_of_their_own(bank: Bank) -> None:
    tied = Counter(tag for trait in bank.by_text.values() for tag in trait.ties)
    for trait in [*bank.by_category["job"], *bank.by_category["pet"]]:
        assert trait.emblem, trait.text
    for trait in bank.by_category["job"]:
        (job,) = [tag for tag in trait.tags if tag.startswith("job:")]
        assert tied[job] >= 2, f"{job} has {tied[job]} lines of its own"


def test_every_tag_that_a_rule_or_line_names_is_given_by_a_line(bank: Bank) -> None:
    """A misspelt tag in a rule would silently guard against nothing."""
    known = frozenset().union(*(trait.tags for trait in bank.by_text.values()))
    for pattern in _patterns():
        key, _, value = pattern.partition(":")
        found = any(tag.startswith(f"{key}:") for tag in known) if value == "*" else False
        assert found or pattern in known, pattern


def _patterns() -> set[str]:
    rules = tomllib.loads((PACKAGE / "rules.toml").read_text(encoding="utf-8"))
    patterns = {*rules["implies"], *rules["never"]}
    patterns.update(*(others.split() for others in rules["never"].values()))
    for path in (PACKAGE / "bank").glob("*.toml"):
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["traits"]:
            patterns.update(re.split(r"[ |]", entry.get("needs", "")))
            patterns.update(entry.get("not", "").split())
    return patterns - {""}


def test_tags_read_as_plain_words(bank: Bank) -> None:
    for trait in bank.by_text.values():
        assert trait.category in CATEGORIES
        for tag in trait.tags:
            assert re.fullmatch(r"[a-z][a-z-]*:[A-Za-z0-9][A-Za-z0-9'.-]*", tag), tag


def test_a_larger_count_begins_with_the_same_characters() -> None:
    few, more = list(characters(count=40)), list(characters(count=90))
    assert [_told(character) for character in more[:40]] == [_told(c) for c in few]


def test_another_seed_makes_other_characters() -> None:
    first = {frozenset(character.lines) for character in characters(count=200, seed=1)}
    second = {frozenset(character.lines) for character in characters(count=200, seed=2)}
    assert len(first & second) < 5


def test_the_catalogue_does_not_depend_on_the_hash_seed() -> None:
    assert len({_digest_in_another_process(seed) for seed in ("0", "1", "4242")}) == 1


def _digest_in_another_process(hash_seed: str) -> str:
    code = (
        "import hashlib\n"
        "from conversations.catalogue import characters\n"
        "told = [(c.name, c.color, c.emblem, c.lines) for c in characters(count=500)]\n"
        "print(hashlib.sha256(repr(told).encode()).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=PACKAGE.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    told = [_told(character) for character in characters(count=500)]
    assert done.stdout.strip() == hashlib.sha256(repr(told).encode()).hexdigest()
    return done.stdout.strip()


def _told(character: Character) -> tuple[str, str, str, tuple[str, ...]]:
    return character.name, character.color, character.emblem, character.lines


def test_it_needs_no_django() -> None:
    code = (
        "import sys\n"
        "from conversations.catalogue import characters\n"
        "next(characters(count=1))\n"
        "assert 'django' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parents[1], check=True)
