"""Reads what a persona line states and which questions it answers (`rules.toml`)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from inference.persona.words import turned

RULES_FILE = Path(__file__).with_name("rules.toml")
_LONG_FORMS = (("i'm ", "i am "), ("i've ", "i have "), ("i'd ", "i would "))
_SLOT = re.compile(r"\{(\w+)\}")
# The rule that takes any line; it is used beside the one that understands the line.
ANY_TOPIC = "self"


@dataclass(frozen=True, slots=True)
class Fact:
    """One persona line as an answer: pairs of texts are (question, answer). `ask_blindly` are the
    questions of `ask` that one may ask without knowing the line."""

    topic: str
    line: str
    ask: tuple[str, ...]
    ask_blindly: tuple[str, ...]
    say: tuple[str, ...]
    more: tuple[tuple[str, str], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    ask_other: tuple[str, ...] = ()
    say_other: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """Questions on a subject, and what is said when the persona does not mention it."""

    topic: str
    ask: tuple[str, ...]
    say: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """`rules` in the order in which they are tried."""

    rules: tuple[tuple[re.Pattern[str], dict[str, Any]], ...]
    unknown: tuple[Unknown, ...]
    talk: dict[str, list[str]]

    def facts(self, lines: Sequence[str]) -> list[Fact]:
        """What the lines answer: the first rule that fits each line, those that stand beside it,
        and the one for any line."""
        found = []
        for line in lines:
            fitting = (
                (rule, match)
                for pattern, rule in self.rules
                if (match := pattern.fullmatch(plain(line)))
            )
            for rule, match in fitting:
                if rule["topic"] != ANY_TOPIC:
                    found.append(_fact(rule, line, match))
                    if not rule.get("beside"):
                        break
            found.append(_fact(self.rules[-1][1], line, self.rules[-1][0].fullmatch(plain(line))))
        return found


@cache
def load_rules() -> Rules:
    """The rules as shipped."""
    data = tomllib.loads(RULES_FILE.read_text(encoding="utf-8"))
    return Rules(
        rules=tuple((re.compile(rule["match"]), rule) for rule in data["rule"]),
        unknown=tuple(
            Unknown(item["topic"], tuple(item["ask"]), tuple(item["say"])) for item in data["none"]
        ),
        talk=data["talk"],
    )


def plain(line: str) -> str:
    """Lower case, no full stop, contractions of the first person written out."""
    text = line.strip().lower().replace("\u2019", "'").rstrip(".! ")
    for short, long in _LONG_FORMS:
        text = text.replace(short, long)
    return text


def _fact(rule: dict[str, Any], line: str, match: re.Match[str] | None) -> Fact:
    stated = line.strip().lower().rstrip(".! ") + "."
    values = {
        name.rstrip("23"): text
        for name, text in (match.groupdict() if match else {}).items()
        if text
    }
    values["line"] = stated
    asked = {name: turned(text) for name, text in values.items()}
    filled = _fill_all(rule.get("ask_other", []), asked, keep="other")
    return Fact(
        topic=rule["topic"],
        line=stated,
        ask=_fill_all(rule["ask"], asked),
        ask_blindly=tuple(text for text in rule["ask"] if not _SLOT.search(text)),
        say=_fill_all(rule["say"], values),
        more=_fill_pairs(rule.get("more", []), asked, values),
        pairs=_fill_pairs(rule.get("pairs", []), asked, values),
        ask_other=tuple(
            text.replace("{other}", other)
            for text in filled
            for other in rule.get("other", [])
            if other not in stated
        ),
        say_other=tuple(
            text
            for text in _fill_all(rule.get("say_other", []), values, keep="other")
            if "{other}" not in text
        ),
    )


def _fill_all(texts: Sequence[str], values: dict[str, str], *, keep: str = "") -> tuple[str, ...]:
    """The texts with their slots filled; those with a slot that has no value are left out."""
    known = {keep, *values}
    return tuple(
        _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), text)
        for text in texts
        if known.issuperset(_SLOT.findall(text))
    )


def _fill_pairs(
    pairs: Sequence[Sequence[str]], asked: dict[str, str], said: dict[str, str]
) -> tuple[tuple[str, str], ...]:
    """(question, answer) pairs with their slots filled, each from its own values."""
    filled = ((*_fill_all([ask], asked), *_fill_all([say], said)) for ask, say in pairs)
    return tuple((pair[0], pair[1]) for pair in filled if len(pair) == 2)
