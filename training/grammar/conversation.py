"""A conversation of a person with a character who answers from persona lines.

Each asks about what the other's lines say, about what they do not say, and in several wordings;
whoever is asked answers from their own lines, and denies what is not so. In between the person, who
speaks first, says how they are and what happened, and the character takes it up. Everything is in
lower case, as PersonaChat is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from training.grammar.lines import PersonaMaker
from training.grammar.questions import Question, Speaker, answer, how_are_you, question
from training.grammar.rules import Rules
from training.grammar.smalltalk import exchanges, reactions_to

PERSON, CHARACTER = 0, 1
MIN_TURNS, MAX_TURNS = 6, 12
GREETING_SHARE = 0.75
# How often somebody says a word to what was no answer to them, and says goodbye at the end.
REACT_SHARE, BYE_SHARE = 0.6, 0.5
# How often the person tells something instead of asking.
SMALLTALK_SHARE = 0.85
# How often, by speaker, whoever has answered asks something, and whoever has not.
ASK_SHARE = {PERSON: 0.65, CHARACTER: 0.25}
ASK_ELSE_SHARE = {PERSON: 0.95, CHARACTER: 0.45}
# Share of the questions that ask how somebody is, unless a greeting did.
HOW_ARE_YOU_SHARE = 0.05
# How often an answer that was not followed by another question is asked about.
FOLLOW_SHARE = 0.7
# Subjects on which one has more than one thing to say.
SEVERAL = frozenset(["hobby", "dislike", "dream", "music"])
# How each kind of greeting is returned: one that asks how somebody is wants another answer.
_GREETED_BACK = {
    "hello": {False: "greet", True: "well"},
    "greet": {False: "", True: "well"},
    "well": {False: "", True: "fine"},
    "fine": {False: "", True: ""},
}

_DENIAL = re.compile(
    r"(?:no|not|never|none|nothing|i (?:do not|don't|can not|have no|am an only child))\b"
)


class Conversation:
    """One conversation. What the person says of themself becomes a line of theirs."""

    def __init__(
        self, speakers: Sequence[Speaker], rules: Rules, maker: PersonaMaker, random: Random
    ) -> None:
        self._speakers, self._rules, self._maker, self._random = speakers, rules, maker, random
        self._greeting = "hello" if self._likely(GREETING_SHARE) else ""
        self._pending: Question | None = None  # whoever speaks next is asked this
        self._exchange: list[str] = []  # what is still to be said of it
        # What was just said: its subject, or a kind of reaction in `Rules.talk`.
        self._told = ""
        self._how_asked = False  # somebody asked how the other is
        self._begun = False  # more than a greeting was said
        self._ends = False  # nothing follows the exchange
        self._over = False

    def turns(self) -> Iterator[str]:
        """What is said; the speakers take turns."""
        length = self._random.randint(MIN_TURNS, MAX_TURNS)
        for turn in range(length):
            who = turn % 2
            if self._exchange:
                said = [*self._greet(asks=False), *self._go_on(who)]
            elif self._pending and not self._pending.text:
                said = [self._random.choice(self._pending.answers)]
                self._over = True
            else:
                said = self._say(turn, self._greet(), is_last=turn >= length - 2)
            yield " ".join(said)
            if self._over:
                return

    def _likely(self, share: float) -> bool:
        return self._random.random() < share

    def _greet(self, *, asks: bool = True) -> list[str]:
        """A greeting where one is due. None `asks` when there is news to take up."""
        if not self._greeting:
            return []
        texts = self._rules.talk[self._greeting]
        text = self._random.choice([text for text in texts if asks or "?" not in text])
        self._greeting = _GREETED_BACK[self._greeting]["?" in text]
        self._how_asked = self._how_asked or "?" in text
        return [text]

    def _go_on(self, who: int) -> Iterator[str]:
        """The next turn of an exchange. What it asks and does not answer is asked last."""
        text, self._told = self._exchange.pop(0), "thanks"
        yield text
        if not self._exchange:
            self._over = self._ends or "?" in text
            if not self._over and self._likely(ASK_SHARE[who]):
                yield self._ask(who)

    def _say(self, turn: int, said: list[str], *, is_last: bool) -> list[str]:
        """Answer what was asked, and say or ask something oneself, or not."""
        who, talk, asked = turn % 2, self._rules.talk, self._pending
        me, you = self._speakers[who], self._speakers[1 - who]
        goes_on, self._pending = bool(said) and asked is None, None
        told, self._told = self._told, ""
        if asked:
            text, self._pending = answer(asked, me, you, self._rules, self._random)
            said.append(text)
            self._told = self._taken(asked.topic, text, me)
        elif turn and not said and self._likely(REACT_SHARE):
            said.append(self._random.choice(talk.get(told) or reactions_to(told) or talk["react"]))
        follow, me.follow = me.follow, None
        if follow and not asked:
            # About what was just said.
            text, reply = self._random.choice(list(follow.more))
            self._pending = Question(text, follow.topic, [reply])
            return [text]
        if self._pending:
            return said
        if is_last and self._likely(BYE_SHARE):
            self._pending = Question("", "", talk["bye_back"])  # no question, but answered
            return [*said, self._random.choice(talk["bye"])]
        share = ASK_SHARE if asked or goes_on else ASK_ELSE_SHARE
        if not said or self._likely(share[who]):
            return [*said, self._begin(who, answers=self._begun and not said)]
        if asked and asked.more and self._likely(FOLLOW_SHARE):
            you.follow = asked
        return said

    @staticmethod
    def _taken(topic: str, text: str, me: Speaker) -> str:
        """As what an answer is taken up: only what one has to say of a subject is news."""
        if not topic:
            return "glad"
        return "neutral" if topic not in me.topics or _DENIAL.match(text) else topic

    def _begin(self, who: int, *, answers: bool) -> str:
        """Something new: the person tells or asks, the character asks. What the person tells may be
        a word to what was said before, if it `answers` that."""
        self._begun = True
        if who == PERSON and self._likely(SMALLTALK_SHARE):
            text, *self._exchange = self._tell(*self._speakers, answers=answers)
            return text
        return self._ask(who)

    def _ask(self, who: int) -> str:
        you = self._speakers[1 - who]
        if not self._how_asked and self._likely(HOW_ARE_YOU_SHARE):
            self._how_asked = True
            self._pending = how_are_you(self._rules, self._random)
        else:
            self._pending = question(you, self._rules, self._random, blindly=who == CHARACTER)
        return self._pending.text

    def _tell(self, me: Speaker, you: Speaker, *, answers: bool) -> list[str]:
        """Something that `me` can say without contradicting themself, and what comes after it."""
        settled = me.topics - SEVERAL
        told = [one for one in exchanges() if one.subject not in settled]
        exchange = self._random.choice([one for one in told if one.opens or answers])
        self._ends = exchange.ends
        own = [fact.line for fact in you.facts if fact.topic == exchange.subject]
        texts = exchange.texts(self._maker, self._random, own)
        if not exchange.passing:
            me.lines.append(texts[0])
            me.facts.extend(self._rules.facts(texts[:1]))
        return texts
