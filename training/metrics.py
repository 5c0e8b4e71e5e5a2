"""What replies are measured by, as functions of texts alone."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# A reply of fewer words ("yes, i do.") may well come back.
SHORT = 4
# Share of a reply's word pairs that an earlier reply has as well, from which it is a repetition.
SAME = 0.8
# So many words in a row from a persona line are a copy of it.
COPIED_WORDS = 5


def words(text: str) -> list[str]:
    """Lower case, no punctuation, no articles: ParlAI's `normalize_answer`, as in ConvAI2."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def count_words(texts: Iterable[str]) -> int:
    """Whitespace words, which perplexity per word is about."""
    return sum(len(text.split()) for text in texts)


def f1(reply: str, truth: str) -> float:
    """Harmonic mean of precision and recall of the words (Dinan et al. 2019, ConvAI2)."""
    given, wanted = words(reply), words(truth)
    common = sum((Counter(given) & Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def distinct(replies: Iterable[str], n: int) -> float:
    """Different n-grams over all n-grams of all replies (Li et al. 2016)."""
    grams = [gram for reply in replies for gram in _grams(words(reply), n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def repeats_within(reply: str) -> bool:
    """Whether three words in a row come twice in one reply."""
    grams = _grams(words(reply), 3)
    return len(set(grams)) < len(grams)


def repeats_across(reply: str, earlier: Sequence[str]) -> bool:
    """Whether a reply of some length says again what one of the earlier ones said."""
    pairs = set(_grams(words(reply), 2))
    if len(words(reply)) < SHORT or not pairs:
        return False
    return any(len(pairs & set(_grams(words(old), 2))) >= SAME * len(pairs) for old in earlier)


def copies_persona(reply: str, persona: Sequence[str]) -> bool:
    """Whether a reply takes over five words in a row of a persona line."""
    said = set(_grams(words(reply), COPIED_WORDS))
    return any(said & set(_grams(words(line), COPIED_WORDS)) for line in persona)


def mean(values: Iterable[float]) -> float:
    """The mean, and 0 of nothing."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


def _grams(items: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]
