"""What the speakers of a grammar dialogue ask each other, and what is truly answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from training.grammar.rules import ANY_TOPIC, Fact, Rules, Unknown, plain

# Share of the questions about what a persona leaves open, and about what it denies.
UNKNOWN_SHARE, DENIED_SHARE = 0.25, 0.09
# Share of the others that are of no subject ("tell me about yourself").
ANY_SHARE = 0.1
# Share of the questions about a line with `pairs` that are one of them.
PAIRS_SHARE = 0.4


@dataclass(slots=True)
class Speaker:
    """One side: what it can answer, and what it was asked already."""

    lines: list[str]
    facts: list[Fact]
    told: dict[str, str] = field(default_factory=dict)
    follow: Question | None = None

    @property
    def topics(self) -> set[str]:
        return {fact.topic for fact in self.facts}


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked and everything that may truly be answered; further questions follow it."""

    text: str
    topic: str
    answers: Sequence[str]
    more: Sequence[tuple[str, str]] = ()


def how_are_you(rules: Rules, random: Random) -> Question:
    """How somebody is; they do not ask back."""
    feelings = [answer for answer in rules.talk["well"] if "?" not in answer]
    return Question(random.choice(rules.talk["asked"]), "", feelings)


def question(you: Speaker, rules: Rules, random: Random, *, blindly: bool) -> Question:
    """A question to `you`: a subject they know, one that is not so, or one they do not mention.
    Who asks `blindly` asks only what one may ask without knowing their persona."""
    # A subject is drawn before its kind of question, or those with many kinds would come most.
    absent = sorted({one.topic for one in rules.unknown if _absent(one.topic, you)})
    if absent and random.random() < UNKNOWN_SHARE:
        topic = random.choice(absent)
        unknown = random.choice([one for one in rules.unknown if one.topic == topic])
        return Question(random.choice(unknown.ask), unknown.topic, unknown.say)
    denied = [fact for fact in you.facts if fact.ask_other and fact.topic != ANY_TOPIC]
    if denied and not blindly and random.random() < DENIED_SHARE:
        fact = random.choice(denied)
        return Question(random.choice(fact.ask_other), fact.topic, fact.say_other)
    askable = [fact for fact in you.facts if fact.ask_blindly or not blindly]
    known = [fact for fact in askable if fact.topic != ANY_TOPIC]
    fact = random.choice(known if known and random.random() >= ANY_SHARE else askable)
    if fact.pairs and not blindly and random.random() < PAIRS_SHARE:
        ask, say = random.choice(fact.pairs)
        return Question(ask, fact.topic, [say], fact.more)
    asked = fact.ask_blindly if blindly else fact.ask
    return Question(random.choice(asked), fact.topic, fact.say, fact.more)


def answer(
    asked: Question, me: Speaker, you: Speaker, rules: Rules, random: Random
) -> tuple[str, Question | None]:
    """A true answer, and the question that it returns if it does.

    The same question is answered the same way twice. An answer that returns a question which the
    other has nothing to say to is not taken.
    """
    known = me.told.get(asked.text)
    options = [known] if known else random.sample(list(asked.answers), len(asked.answers))
    for text in options:
        if "?" not in text:
            me.told[asked.text] = text
            return text, None
        if returned := _returned(text, asked, you, rules):
            me.told[asked.text] = text
            return text, returned
    return options[0].partition("?")[0].rpartition(".")[0].strip() + ".", None


def _returned(text: str, question: Question, you: Speaker, rules: Rules) -> Question | None:
    """What the question at the end of an answer asks the other; None if that is open."""
    topic, asked = question.topic, re.split(r"(?<=[.!,]) ", text)[-1]
    named = [fact for fact in you.facts if asked in fact.ask and fact.topic != ANY_TOPIC]
    facts = named or [fact for fact in you.facts if fact.topic == topic]
    if facts and (facts[0].topic != ANY_TOPIC or topic == ANY_TOPIC):
        plain_answers = [answer for answer in facts[0].say if "?" not in answer]
        return Question(asked, facts[0].topic, plain_answers, facts[0].more)
    for unknown in _unknown_by(asked, question, rules):
        if _absent(unknown.topic, you):
            plain_answers = [answer for answer in unknown.say if "?" not in answer]
            return Question(asked, unknown.topic, plain_answers)
    return None


def _unknown_by(asked: str, question: Question, rules: Rules) -> list[Unknown]:
    """The blocks that a returned question means: that of its words, that of the question which is
    returned ("and you?"), or the first of the subject."""
    return [
        *(unknown for unknown in rules.unknown if asked in unknown.ask),
        *(unknown for unknown in rules.unknown if question.text in unknown.ask),
        *(unknown for unknown in rules.unknown if unknown.topic == question.topic),
    ]


def _absent(topic: str, you: Speaker) -> bool:
    """Whether the persona leaves a subject open; a word for it in any line says it does not."""
    if topic in you.topics:
        return False
    told = " ".join(plain(line) for line in you.lines)
    return not any(word in told for word in _WORDS.get(topic, (topic,)))


# Words by which a line may touch a subject that no rule found in it.
_WORDS = {
    "pet": ("dog", "cat", "pet", "animal", "bird", "horse", "fish", "parrot", "rabbit", "hen"),
    "kids": ("kid", "child", "son", "daughter", "mother of", "father of", "mom", "dad", "baby"),
    "siblings": ("brother", "sister", "sibling", "twin"),
    "car": ("car", "truck", "drive", "van", "motorcycle", "bus"),
    "partner": ("husband", "wife", "married", "girlfriend", "boyfriend", "divorce", "single"),
    "music": ("play", "guitar", "piano", "music", "band", "sing", "violin", "drum"),
    "diet": ("vegan", "vegetarian", "meat", "eat", "food", "cook"),
    "age": ("years old", "year old", "retired", "teen", "born", "i am "),
    "study": ("student", "study", "school", "college", "university", "degree", "class"),
    "job": ("work", "job", "i am a", "boss", "office", "for a living", "retired", "my shift"),
    "home": ("live", "home", "house", "apartment", "from", "city", "town", "born"),
    "movie": ("movie", "film", "cinema", "actor", "actress", "television"),
    "book": ("book", "read", "novel", "librar", "write", "poem", "author"),
    "song": (
        "music",
        "song",
        "sing",
        "band",
        "play the",
        "listen",
        "concert",
        "jazz",
        "rock",
        "opera",
    ),
    "food": (
        "eat",
        "food",
        "cook",
        "bake",
        "vega",
        "vegetarian",
        "chef",
        "meat",
        "favorite",
        "pizza",
    ),
    "color": (
        "color",
        "red",
        "blue",
        "green",
        "yellow",
        "purple",
        "pink",
        "black",
        "white",
        "wear",
    ),
    "season": (
        "season",
        "summer",
        "winter",
        "spring",
        "autumn",
        "fall",
        "snow",
        "rain",
        "cold",
        "hot",
    ),
    "sport": ("play", "sport", "gym", "run", "swim", "team", "ball", "hike", "bike", "ski", "surf"),
    "tall": ("tall", "short", "hair", "eyes", "tattoo", "look", "beard", "thin", "big", "pretty"),
    "travel": ("travel", "visit", "been to", "trip", "fly", "plane", "abroad", "country", "sail"),
    "weekend": ("weekend", "saturday", "sunday", "every"),
    "hobby": ("love", "like", "enjoy", "collect", "play", "hobby", "fun", "every", "paint", "read"),
    "friend": ("friend", "alone", "people", "shy", "party", "roommate"),
    "parents": (
        "mother",
        "father",
        "mom",
        "dad",
        "parents",
        "family",
        "brother",
        "sister",
        "grand",
    ),
    "language": ("speak", "language", "spanish", "french", "german", "translat", "learning"),
    "fear": ("afraid", "fear", "scared", "scare", "terrified"),
    "dream": ("dream", "want", "wish", "hope", "would like", "saving", "plan"),
    "happy": ("happy", "sad", "laugh", "cry", "lonely", "smile"),
    "religio": ("god", "church", "religio", "believe", "ghost", "pray", "priest", "monk"),
    "drink": ("drink", "coffee", "tea", "beer", "wine", "bar", "smoke", "alcohol"),
    "like me": (
        "smart",
        "rich",
        "famous",
        "strong",
        "funny",
        "shy",
        "nice",
        "old",
        "people say",
        "i am very",
    ),
}
