"""Sentences in the first person, and the facts that they state.

Patterns of what is owned, liked or done, and what is not; how many; favourites, places, work, name
and age. What fits none of them states nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from inference.prompt import straight

_KINDS = {
    "pet": """
        dog cat bird parrot budgie canary parakeet cockatoo cockatiel owl crow raven pigeon fish
        goldfish hamster gerbil rat mouse chinchilla rabbit bunny ferret hedgehog turtle tortoise
        snake lizard iguana gecko frog toad newt axolotl snail spider tarantula crab shrimp horse
        pony donkey mule goat sheep lamb cow pig piglet llama alpaca hen chicken rooster goose duck
    """,
    "child": "son daughter baby newborn boy girl toddler grandchild stepchild",
    "sibling": "brother sister twin stepbrother stepsister",
    "instrument": """
        guitar piano violin viola cello drum flute trumpet trombone tuba saxophone clarinet oboe
        bass harp banjo ukulele fiddle accordion harmonica bagpipe keyboard organ
    """,
    "vehicle": "car truck van motorcycle bike",
    "partner": "wife husband girlfriend boyfriend spouse fiance fiancee",
}
# A baby may be a son, and a twin a sister.
_VAGUE_WORDS = "baby newborn boy girl toddler grandchild stepchild twin spouse"
_VAGUE = frozenset(_VAGUE_WORDS.split())
# What tells of one without naming it.
_HINTS = {"married": "partner", "nephew": "sibling", "niece": "sibling"}
_SIZES = frozenset(["big", "little", "small", "old", "older", "young", "younger"])
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_SAME = {
    "kid": "child",
    "children": "child",
    "grandchildren": "grandchild",
    "grandkid": "grandchild",
    "stepchildren": "stepchild",
    "grandson": "grandchild",
    "granddaughter": "grandchild",
    "stepson": "stepchild",
    "stepdaughter": "stepchild",
    "mice": "mouse",
    "geese": "goose",
    "hound": "dog",
    "sheepdog": "dog",
    "greyhound": "dog",
    "poodle": "dog",
    "terrier": "dog",
    "beagle": "dog",
    "bulldog": "dog",
    "dachshund": "dog",
    "labrador": "dog",
    "spaniel": "dog",
    "chihuahua": "dog",
    "retriever": "dog",
    "animal": "pet",
    "puppy": "dog",
    "puppies": "dog",
    "kitten": "cat",
    "allergie": "allergy",
    "own": "have",
    "got": "have",
    "adopted": "have",
    "rescued": "have",
    "love": "like",
    "enjoy": "like",
    "adore": "like",
}
_DISLIKES = frozenset({"hate", "dislike", "despise"})
_VERB_WORDS = """
    have own got adopted rescued like love enjoy adore hate dislike despise eat drink play drive
    speak smoke collect am
"""
_VERBS = frozenset(_VERB_WORDS.split())
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_COUNTS = {word: number for number, word in enumerate(_NUMBERS, start=1)} | {"a": 1, "an": 1}
_ADVERBS = frozenset({"really", "also", "just", "still", "only", "actually", "even", "always"})
# What is owned or liked ends here: "i have a dog for my children" is about a dog.
_END_WORDS = """
    for with to in on at because when that who which named called of from by and or but so as
    since than if about while i it they we
"""
ENDS = frozenset(_END_WORDS.split())
_EMPTY = frozenset({"the", "any", "some", "my", "your", "much", "many", "very"})
_SHORT = (
    (re.compile(r"\bcan't\b|\bcannot\b"), "can not"),
    (re.compile(r"\bcan not stand\b"), "hate"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'m\b"), " am"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"\bbrothers? (?:or|and) sisters?\b"), "siblings"),
)
_WORD = re.compile(r"\w+")
_CLAUSE = re.compile(r"[.!?;,:]+|\bbut\b|\band (?=(?:i|my)\b)")
_ATTRIBUTES = (
    re.compile(r"\bmy (?P<key>favou?rite \w+) (?:is|are) (?P<value>.+)"),
    re.compile(r"\bi (?P<key>live) in (?P<value>.+)"),
    re.compile(r"\bi am (?P<key>from) (?P<value>.+)"),
    re.compile(r"\bi (?P<key>work) (?:as|at|in) (?P<value>.+)"),
    re.compile(r"\bi (?P<key>study) (?P<value>.+)"),
    re.compile(r"\bmy (?P<key>name) is (?P<value>\w+)"),
    re.compile(r"\bi am (?P<value>\S+) (?P<key>years old)"),
)
_STATEMENT = re.compile(r"\bi (?P<rest>.+)")
_POSSESSION = re.compile(r"\bmy (?P<rest>.+)")
# "My neighbor's dog", "my late husband".
_NOT_MINE = re.compile(r"\S+'s\b|(?:late|ex|former|first|dream|imaginary)\b")
# "I have outlived three cars": done, not owned.
_DONE = re.compile(
    r"(?!red\b|wicked\b)\w+ed\b|(?:been|met|seen|lost|had|won|written|read|broken|eaten|driven"
    r"|flown|ridden|sold|built|made|found|forgotten|taught|thrown|fallen|never)\b"
)
# "I buried my dog", "I want my husband to call".
_GONE = re.compile(
    r"(?:miss|lost|buried|sold|had|gave|left|lent|outlived|divorced|ran|hope|want|wish|think|talk"
    r"|dream|look|never|do not|did|would|could|used)\b"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """`key` is a verb or an attribute; `words` what it is about; `count` 0 where none is said."""

    key: str
    words: frozenset[str]
    holds: bool = True
    count: int = 0
    is_attribute: bool = False

    def contradicts(self, other: Fact) -> bool:
        """Whether not both can be true of one person."""
        if self.key != other.key or self.is_attribute != other.is_attribute:
            return False
        if self.is_attribute:
            return self.words.isdisjoint(other.words)
        if self.holds and other.holds:
            counted = self.count and other.count and self.count != other.count
            return bool(counted and self.words & other.words)
        if self.holds == other.holds:
            return False
        true, false = (self, other) if self.holds else (other, self)
        # Who has no pets has no dog; who has no dog may have pets, and who has no small dog a dog.
        return false.words <= {*true.words, *map(_kind, true.words)}

    def supports(self, other: Fact) -> bool:
        """Whether the other is true where this one is. Who has a dog has pets."""
        return (
            self.key == other.key
            and not (self.is_attribute or other.is_attribute)
            and self.holds
            and other.holds
            and other.words <= {*self.words, *map(_kind, self.words)}
            and other.count in {0, 1, self.count}
        )


def facts_in(texts: Iterable[str]) -> set[Fact]:
    """The facts that sentences in the first person state."""
    return {fact for text in texts for clause in _clauses(text) for fact in _facts(clause)}


def _clauses(text: str) -> Iterator[str]:
    return (part.strip() for part in _CLAUSE.split(spelled_out(text)) if part.strip())


def spelled_out(text: str) -> str:
    """In lower case, without contractions."""
    text = straight(text.lower())
    for pattern, words in _SHORT:
        text = pattern.sub(words, text)
    return text


def _facts(clause: str) -> Iterator[Fact]:
    for pattern in _ATTRIBUTES:
        if found := pattern.search(clause):
            words, _ = _object(found["value"].split())
            if words:
                yield Fact(found["key"].replace("favour", "favor"), words, is_attribute=True)
            return
    found = _STATEMENT.search(clause)
    if found and (says := list(stated(found["rest"]))):
        yield from says
    elif found and _GONE.match(found["rest"]):
        return
    elif (found := _POSSESSION.search(clause)) and not _NOT_MINE.match(found["rest"]):
        words, count = _object(found["rest"].split()[:2])
        if owned := words.intersection([*_KIND_OF, *_KINDS]):
            yield Fact("have", owned, count=count)


def stated(rest: str) -> Iterator[Fact]:
    """Of what follows "i": "do not have any pets", "am not a nurse", "really love tea"."""
    words = [word for word in rest.split() if word not in _ADVERBS]
    holds = True
    while words and words[0] in {"do", "not", "never"}:
        holds &= words.pop(0) == "do"
    if not words or words[0] not in _VERBS:
        return
    verb = words.pop(0)
    if words and words[0] in {"not", "no", "never"}:
        holds = not holds
        words.pop(0)
    if verb == "have" and words and _DONE.match(words[0]):
        return
    if verb in _DISLIKES:
        verb, holds = "like", not holds
    about, count = _object(words)
    if about:
        yield Fact(_SAME.get(verb, verb), about, holds, count)


def _object(words: list[str]) -> tuple[frozenset[str], int]:
    """What a verb is about, and how many of it."""
    count, about = 0, []
    for word in words:
        if word in ENDS:
            break
        if word in _COUNTS:
            count = count or _COUNTS[word]
        elif word not in _EMPTY:
            about.append(_singular(word))
    return frozenset(about), count


def _singular(word: str) -> str:
    word = word.strip("'\"")
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return _SAME.get(word, word)


def singular_words(texts: Iterable[str]) -> Iterator[str]:
    """Their words as facts have them."""
    return (_singular(word) for text in texts for word in _WORD.findall(text.lower()))


def _kind(word: str) -> str:
    return _KIND_OF.get(word, word)


def species(words: Iterable[str]) -> tuple[str, str] | None:
    """The one word of them that says which of a kind, and the kind: "dog", "pet". None where
    there is more to it than a size, as to a dog's bowl, or where it leaves open which, as "baby"
    does."""
    named = {word for word in words if word not in _KINDS and word not in _SIZES}
    word = next(iter(named)) if len(named) == 1 else ""
    return (word, _kind(word)) if word in _KIND_OF and word not in _VAGUE else None


def kinds(words: Iterable[str]) -> set[str]:
    """What each is a kind of: a dog of pet, being married of partner; or itself."""
    return {_HINTS.get(word, _kind(word)) for word in words}
