"""How people write, for dialogues that are all written alike.

Text that a language model wrote has "I'm" throughout, ends every turn with a mark, and exclaims.
People differ: some write "I am", some leave the last full stop out, some never exclaim. A model
that has met one manner only is surprised by every other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from training.data.dialogue import Dialogue
from training.data.readers import read_reported

# How many speakers of a hundred have each manner, independently.
WRITTEN_OUT, CALM, OPEN_ENDED = 0.5, 0.5, 0.25

Manner = Callable[[str], str]

_PRONOUNS = "i|you|he|she|it|we|they"
_NOT = {"ca": "can", "wo": "will", "sha": "shall"}
_IS = "he|she|it|that|there|this|what|who|where|how|here|everyone|everything"
_NEGATED = re.compile(rf"\b([a-z]+)n't(?: ({_PRONOUNS})\b)?", re.IGNORECASE)
_SHORT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), rf"\1 {word}")
    for pattern, word in (
        (r"\b(i)'m\b", "am"),
        (r"\b(you|we|they)'re\b", "are"),
        (r"\b(i|you|we|they)'ve\b", "have"),
        (r"\b(i|you|he|she|it|we|they|that|there)'ll\b", "will"),
        (rf"\b({_IS})'s(?= been\b| got\b| had\b)", "has"),
        (rf"\b({_IS})'s\b", "is"),
    )
)


def varied_dialogues(
    path: str | Path, report: Callable[[str], None], *, seed: int = 0
) -> Iterator[Dialogue]:
    """The dialogues of a file as people would write them who have manners of their own; `report`
    is told what was damaged. Raises DataError."""
    random = Random(seed)
    for dialogue in read_reported(path, report):
        yield _varied(dialogue, random)


def write_out(text: str) -> str:
    """Without contractions: "I am" for "I'm". Those that stand for several words ("he'd") stay."""
    text = text.replace("\u2019", "'")
    text = _NEGATED.sub(_with_not, text)
    for pattern, written in _SHORT:
        text = pattern.sub(written, text)
    return text


def calm(text: str) -> str:
    """Without exclamation marks."""
    return re.sub(r"!+", ".", text)


def open_ended(text: str) -> str:
    """Without the last full stop."""
    return re.sub(r"(?<=[^.])\.$", "", text)


def _varied(dialogue: Dialogue, random: Random) -> Dialogue:
    speakers = [tuple(_manners(random)) for _ in dialogue.personas]
    first, second = (
        tuple(map(write_out, lines)) if random.random() < WRITTEN_OUT else lines
        for lines in dialogue.personas
    )
    turns = (_applied(speakers[number % 2], turn) for number, turn in enumerate(dialogue.turns))
    return replace(dialogue, personas=(first, second), turns=tuple(turns), candidates=())


def _manners(random: Random) -> Iterator[Manner]:
    chances = ((write_out, WRITTEN_OUT), (calm, CALM), (open_ended, OPEN_ENDED))
    for manner, chance in chances:
        if random.random() < chance:
            yield manner


def _applied(manners: tuple[Manner, ...], text: str) -> str:
    for manner in manners:
        text = manner(text)
    return text


def _with_not(found: re.Match[str]) -> str:
    verb, pronoun = found.groups()
    if verb.lower() == "ai":
        return found[0]
    full = _NOT.get(verb.lower())
    if full is not None:
        verb = full.capitalize() if verb[0].isupper() else full
    if pronoun:
        return f"{verb} {pronoun} not"
    return f"{verb}not" if verb.lower() == "can" else f"{verb} not"
