"""The words that dialogues are made of, for a bundle that holds its replies to them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from inference.spelling import words_in
from training.data.dialogue import all_texts
from training.data.readers import read_reported
from training.grammar.generator import grammar_dialogues

# A word where no sentence begins.
_INSIDE = re.compile(r"(?:(?<=[^\W_])|(?<=,))\s+([^\W\d_]+)")
# Almost any two or three letters are somebody's typing error or abbreviation.
SHORT, SHORT_TIMES = 3, 10
# So often must a word be written with a capital where no sentence begins to be a name.
NAME_SHARE = 0.8


def count_words(
    paths: Iterable[str | Path],
    *,
    at_least: int,
    report: Callable[[str], None],
    grammar: int = 0,
) -> list[str]:
    """The words that occur so often in files of dialogues (short ones many times as often), and
    all those of `grammar` dialogues; sorted, each as most people write it. `report` is told what
    was damaged in the files. Raises DataError."""
    counts: Counter[str] = Counter()
    written: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in all_texts(dialogue for path in paths for dialogue in read_reported(path, report)):
        counts.update(words_in(text.lower()))
        for word in _INSIDE.findall(text):
            written[word.lower()][word] += 1
    words = {
        word
        for word, count in counts.items()
        if count >= at_least * (SHORT_TIMES if len(word) <= SHORT else 1)
    }
    for text in all_texts(grammar_dialogues(grammar, seed=0)):
        words.update(words_in(text))
    return [_as_written(word, written[word]) for word in sorted(words)]


def write_words(path: Path, words: Sequence[str]) -> None:
    """One a line."""
    path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")


def _as_written(word: str, written: Counter[str]) -> str:
    name = max((other for other in written if other != word), key=written.__getitem__, default=word)
    return name if written[name] >= NAME_SHARE * written.total() > 0 else word
