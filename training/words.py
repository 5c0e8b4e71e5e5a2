"""The words that dialogues are made of, for a bundle that holds its replies to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from inference.spelling import words_in
from training.data.readers import read_dialogues
from training.grammar.generator import grammar_dialogues

# Almost any two or three letters are somebody's typing error or abbreviation.
SHORT, SHORT_TIMES = 3, 10


def count_words(
    paths: Iterable[str | Path], *, at_least: int, grammar: int = 0, seed: int = 0
) -> list[str]:
    """The words that occur so often in files of dialogues (short ones many times as often), and
    all those of `grammar` dialogues; sorted. Raises DataError."""
    counts: Counter[str] = Counter()
    for path in paths:
        for dialogue in read_dialogues(path):
            for text in (*dialogue.turns, *(line for own in dialogue.personas for line in own)):
                counts.update(words_in(text))
    words = {
        word
        for word, count in counts.items()
        if count >= at_least * (SHORT_TIMES if len(word) <= SHORT else 1)
    }
    for dialogue in grammar_dialogues(grammar, seed=seed, words=()):
        words.update(word for turn in dialogue.turns for word in words_in(turn))
    return sorted(words)


def write_words(path: Path, words: Sequence[str]) -> None:
    """One a line."""
    path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
