"""What replies are measured by, as functions of texts alone."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SPACED = str.maketrans(dict.fromkeys(string.punctuation, " "))
_DROPPED = str.maketrans("", "", string.punctuation)
# A word with its apostrophes, or one punctuation mark.
_TOKEN = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
# A reply of fewer words ("yes, i do.") may well come back.
SHORT = 4
# Share of a reply's word pairs that an earlier reply has as well, from which it is a repetition.
SAME = 0.8
# So many words in a row from a persona line are a copy of it.
COPIED_WORDS = 5


def answer_words(text: str) -> list[str]:
    """What ConvAI2's F1 compares, ParlAI's `normalize_answer`: lower case, every punctuation mark a
    space ("i'm" is "i" and "m"), and then no articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_SPACED)).split()


def spoken_words(text: str) -> list[str]:
    """What repetition is about: lower case, "i'm" one word, no punctuation and no articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_DROPPED)).split()


def tokens(text: str) -> list[str]:
    """Words and punctuation marks in lower case, as a word-level model would generate them."""
    return _TOKEN.findall(text.lower())


def perplexity(nats: float, count: int) -> float:
    """exp of the mean, or of the largest mean whose exp is a number: where words have no white
    space between them, a word may be a whole turn."""
    return math.exp(min(nats / count, 700.0))


def count_words(texts: Iterable[str]) -> int:
    """Whitespace words, which perplexity per word is about."""
    return sum(len(text.split()) for text in texts)


def f1(reply: str, truth: str) -> float:
    """Harmonic mean of precision and recall of the words (Dinan et al. 2019, ConvAI2), which
    `answer_words` tells apart."""
    given, wanted = answer_words(reply), answer_words(truth)
    common = sum((Counter(given) & Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def distinct(replies: Iterable[str], n: int) -> float:
    """Different n-grams of all replies, divided by the number of all generated tokens (Li et al.
    2016, "A Diversity-Promoting Objective Function for Neural Conversation Models"). `tokens` says
    what a token is: articles and punctuation marks are."""
    said = [tokens(reply) for reply in replies]
    total = sum(map(len, said))
    grams = {gram for reply in said for gram in _grams(reply, n)}
    return len(grams) / total if total else 0.0


def repeats_within(reply: str) -> bool:
    """Whether three words in a row come twice in one reply."""
    grams = _grams(spoken_words(reply), 3)
    return len(set(grams)) < len(grams)


def repeats_across(reply: str, earlier: Sequence[str]) -> bool:
    """Whether a reply of some length says again what one of the earlier ones said."""
    said = spoken_words(reply)
    pairs = set(_grams(said, 2))
    if len(said) < SHORT or not pairs:
        return False
    before = (set(_grams(spoken_words(old), 2)) for old in earlier)
    return any(len(pairs & old) >= SAME * len(pairs) for old in before)


def copies_persona(reply: str, persona: Sequence[str]) -> bool:
    """Whether a reply takes over five words in a row of a persona line."""
    said = set(_grams(spoken_words(reply), COPIED_WORDS))
    return any(said & set(_grams(spoken_words(line), COPIED_WORDS)) for line in persona)


def mean(values: Iterable[float]) -> float:
    """The mean, and 0 of nothing."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


def _grams(items: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]
