"""Makes conversations of two characters who answer from their persona lines.

Each asks about what the other's persona says, about what it does not say, and in several wordings;
whoever is asked answers from their own lines, and denies what is not so. Everything is in lower
case, as PersonaChat is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from training.data.dialogue import Dialogue
from training.grammar.lines import PersonaMaker
from training.grammar.rules import ANY_TOPIC, Fact, Rules, load_rules, plain

SOURCE = "grammar"
MIN_TURNS, MAX_TURNS = 6, 12
# Share of the personas that come from elsewhere, where there is an elsewhere.
DRAWN_SHARE = 0.3
# Share of the questions about a line with `pairs` that are one of them.
PAIRS_SHARE = 0.4
GREETING_SHARE = 0.75
# How each kind of greeting is returned: one that asks how somebody is wants another answer.
_GREETED_BACK = {
    "hello": {False: "greet", True: "well"},
    "greet": {False: "", True: "well"},
    "well": {False: "", True: "fine"},
    "fine": {False: "", True: ""},
}


@dataclass(slots=True)
class Speaker:
    """One side: what it can answer, and what it was asked already."""

    lines: Sequence[str]
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


def grammar_dialogues(
    count: int,
    *,
    seed: int = 0,
    pools: Sequence[Sequence[Sequence[str]]] = (),
    words: Sequence[str] = (),
) -> Iterator[Dialogue]:
    """`count` dialogues, the same for the same arguments.

    Most of the personas, or all without `pools`, are made from `lines.toml` and, where a line takes
    any word, from `words`; the others are drawn from the pools (lists of personas) alike.
    """
    random = Random(f"{seed} grammar")
    maker, rules = PersonaMaker(words), load_rules()
    pools = [pool for pool in pools if pool]
    for _ in range(count):
        speakers = []
        for _ in range(2):
            drawn = pools and random.random() < DRAWN_SHARE
            persona = random.choice(random.choice(pools)) if drawn else maker.persona(random)
            speakers.append(Speaker(persona, rules.facts(persona)))
        turns = tuple(_conversation(speakers, rules, random))
        first, second = (tuple(speaker.lines) for speaker in speakers)
        yield Dialogue(SOURCE, (first, second), turns)


def _conversation(speakers: list[Speaker], rules: Rules, random: Random) -> Iterator[str]:
    talk, length = rules.talk, random.randint(MIN_TURNS, MAX_TURNS)
    greeting = "hello" if random.random() < GREETING_SHARE else ""
    pending: Question | None = None
    for turn in range(length):
        me, you = speakers[turn % 2], speakers[1 - turn % 2]
        said = []
        if greeting:
            said.append(random.choice(talk[greeting]))
            greeting = _GREETED_BACK[greeting]["?" in said[0]]
        answer, returned = _answer(pending, me, you, rules, random)
        if answer:
            said.append(answer)
        elif turn > 1 and random.random() < 0.4:
            said.append(random.choice(talk["react"]))
        last, pending = pending, returned
        if turn == length - 2 and random.random() < 0.5 and not returned:
            said.append(random.choice(talk["bye"]))
            pending = Question("", "", talk["bye_back"])
        elif not returned and (
            not said or random.random() < (0.9 if turn > 1 and not answer else 0.5)
        ):
            pending = _question(you, rules, random)
            said.append(pending.text)
        elif last and last.more and not returned and random.random() < 0.7:
            # The other asks further, in their next turn, about what was just said.
            you.follow = last
        if me.follow and not answer:
            text, reply = random.choice(list(me.follow.more))
            pending = Question(text, me.follow.topic, [reply])
            said = [text]
        me.follow = None
        yield " ".join(said)


def _answer(
    question: Question | None, me: Speaker, you: Speaker, rules: Rules, random: Random
) -> tuple[str, Question | None]:
    """A true answer, and the question that it returns if it does.

    The same question is answered the same way twice. An answer that returns a question which the
    other has nothing to say to is not taken.
    """
    if question is None:
        return "", None
    known = me.told.get(question.text)
    options = [known] if known else random.sample(list(question.answers), len(question.answers))
    for text in options:
        if "?" not in text:
            me.told[question.text] = text
            return text, None
        if returned := _returned(text, question.topic, you, rules):
            me.told[question.text] = text
            return text, returned
    return options[0].partition("?")[0].rpartition(".")[0].strip() + ".", None


def _returned(text: str, topic: str, you: Speaker, rules: Rules) -> Question | None:
    """What the question at the end of an answer asks the other; None if that is open."""
    asked = re.split(r"(?<=[.!,]) ", text)[-1]
    named = [fact for fact in you.facts if asked in fact.ask and fact.topic != ANY_TOPIC]
    facts = named or [fact for fact in you.facts if fact.topic == topic]
    if facts and (facts[0].topic != ANY_TOPIC or topic == ANY_TOPIC):
        plain_answers = [answer for answer in facts[0].say if "?" not in answer]
        return Question(asked, facts[0].topic, plain_answers, facts[0].more)
    for unknown in rules.unknown:
        if (asked in unknown.ask or unknown.topic == topic) and _absent(unknown.topic, you):
            return Question(asked, unknown.topic, [a for a in unknown.say if "?" not in a])
    return None


def _question(you: Speaker, rules: Rules, random: Random) -> Question:
    """A question to `you`: a subject they know, one that is not so, or one they do not mention."""
    kind = random.random()
    if kind < 0.12 and (absent := [u for u in rules.unknown if _absent(u.topic, you)]):
        unknown = random.choice(absent)
        return Question(random.choice(unknown.ask), unknown.topic, unknown.say)
    known = [fact for fact in you.facts if fact.topic != ANY_TOPIC]
    if kind < 0.2 and (denied := [fact for fact in known if fact.ask_other]):
        fact = random.choice(denied)
        return Question(random.choice(fact.ask_other), fact.topic, fact.say_other)
    fact = random.choice(known if known and kind < 0.88 else you.facts)
    if fact.pairs and random.random() < PAIRS_SHARE:
        ask, say = random.choice(fact.pairs)
        return Question(ask, fact.topic, [say], fact.more)
    return Question(random.choice(fact.ask), fact.topic, fact.say, fact.more)


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
}
