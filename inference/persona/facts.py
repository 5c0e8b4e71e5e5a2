"""What follows from somebody's persona: whether yes or no is true of them, and what contradicts it.

It looks for the contradictions of Dialogue NLI (Welleck et al. 2019) without a trained judge, so
most of what is said is neither here nor there for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from inference.persona.kinds import IS_TRADE, JOB, RELATIVES
from inference.persona.question import closing
from inference.persona.statements import (
    ENDS,
    Fact,
    facts_in,
    kinds,
    singular_words,
    species,
    spelled_out,
    stated,
)

# Whoever has one says so in a persona: what no line touches upon is not so.
_TOLD_KINDS = frozenset({"pet", "child", "sibling", "instrument", "partner"})
_TOLD_BY = frozenset({"have", "play"})
# Kinds of their own: a parrot is a bird.
_WIDE = frozenset({"bird", "fish", "keyboard"})
_BEGINS = r"(?:^|[.!?,;] *|\b(?:so|and|but|well|oh|hi|hey|hello) +)"
# So much of a trade has what is done in it: "sing" of a singer.
_STEM = 4
_QUESTION = re.compile(
    rf"{_BEGINS}(?:(?P<be>do|are) you (?P<rest>[^.!?]+?)"
    r"|(?:have you (?:got )?|you (?:have |got )+|got )?any (?P<any>[^.!?]+?)"
    r"|have you got (?P<got>[^.!?]+?)|you (?:have|got) (?P<have>[^.!?]+?)(?= *\?))\W*$"
)
_WHICH = re.compile(
    rf"{_BEGINS}(?:what|which|how many)(?: (?:kinds?|sorts?|types?) of)? (?P<what>[^.!?]+?)"
    r" (?:do you (?:have|own|keep|(?P<play>play))|have you got)\W*$"
)
_ANSWER = re.compile(r"^\W*(?:well |oh |um )?(?P<word>yes|yeah|yep|yup|no|nope|nah)\b")
# What follows from a sentence beside what it says.
_IMPLIED = (
    (
        r"\bmy (?:wife|husband)\b(?!.*\b(?:died|left|passed|divorced))",
        "am married",
        "not am single",
    ),
    (r"\bi am (?:single|divorced|a widow|a widower|widowed)\b", "not am married"),
    (r"\bi am married\b", "not am single"),
    (r"\b(?:got|i) married\b", "am married", "have family"),
    (r"\bi (?:am|became) an? (?:\w+ )?(?:mother|father|mom|dad|parent)\b", "have children"),
    (r"\bi am an? (?:\w+ )?grand(?:mother|father|ma|pa)\b", "have grandchildren"),
    (r"\b(?:the twins|twins at home|parents? of)\b", "have children"),
    (r"\bmy in-laws\b", "am married"),
    (
        r"\bi am (?:the )?(?:\w+ )?(?:one )?of (?:three|four|five|six|seven|eight|nine|ten)\b",
        "have siblings",
    ),
    (r"\ban only child\b", "not have siblings"),
    (rf"\b(?:my|i have)(?: (?!no\b|never\b)\w+){{0,2}}? (?:{RELATIVES})\b", "have family"),
    (r"\bi am allergic\b", "have allergies"),
    (r"\bi am (?:a )?(?:vegan|vegetarian)\b", "not eat meat"),
    (r"\bi (?:am )?study(?:ing)?\b|\bi am a student\b", "am student"),
)
_IMPLICATIONS = tuple((re.compile(pattern), says) for pattern, *says in _IMPLIED)


def facts_known(persona: Iterable[str]) -> set[Fact]:
    """The facts of somebody's lines, and what follows from them."""
    return {fact for line in persona for fact in _known(line)}


@lru_cache(maxsize=4096)
def _known(line: str) -> frozenset[Fact]:
    return frozenset([*facts_in([line]), *_implied(line)])


def facts_answered(question: str, reply: str) -> set[Fact]:
    """The facts of a reply, its yes or no to a question included."""
    facts = facts_in([reply])
    answered = _ANSWER.search(reply.lower())
    if answered and (asked := asked_fact(question)):
        facts |= set(stated(f"not {asked}" if answered["word"].startswith("n") else asked))
    return facts


def true_answer(question: str, persona: Sequence[str]) -> tuple[bool, str] | None:
    """Whether yes or no is the answer to a message, and the line that says so, if any; None where
    the message asks for neither, or the lines leave it open."""
    asked = asked_fact(question) if persona else None
    if asked is None:
        return None
    wanted = set(stated(asked))
    # Who asks for a big dog does not ask for exactly one.
    would_be = {replace(fact, count=0) if fact.count == 1 else fact for fact in wanted}
    for yes, says_so in ((True, Fact.supports), (False, Fact.contradicts)):
        for line in persona:
            if any(says_so(fact, other) for fact in _known(line) for other in would_be):
                return yes, line
    untold = _TOLD_KINDS - kinds(singular_words(persona)) - _implied_kinds(persona)
    if any(
        kinds(other.words) <= untold and (other.key in _TOLD_BY or "married" in other.words)
        for other in would_be
    ):
        return False, ""
    if "partner" in untold and any(other.words == {"single"} for other in would_be):
        return True, ""
    others = (_has_another(fact, persona) or _other_trade(fact, persona) for fact in wanted)
    return next(((False, line) for line in others if line), None)


def _implied_kinds(persona: Sequence[str]) -> set[str]:
    """What somebody has by what follows from their lines, beside what they name."""
    known = (fact for line in persona for fact in _known(line) if fact.holds)
    return {kind for fact in known for kind in kinds(fact.words)}


def _other_trade(asked: Fact, persona: Sequence[str]) -> str | None:
    """The line of somebody who works as something else than is asked for, and does not do that
    either: a baker is no singer, unless they sing. Trades have an article; "sober" has none."""
    is_one = asked.key == "am" and asked.holds and asked.count == 1
    [*trade] = asked.words if is_one else ()
    if len(trade) != 1 or not IS_TRADE.fullmatch(trade[0]):
        return None
    if any(word.startswith(trade[0][:_STEM]) for word in singular_words(persona)):
        return None
    return JOB.line_of(persona)


def _has_another(asked: Fact, persona: Sequence[str]) -> str | None:
    """The line of somebody who has another of the kind that is asked for: who has a lizard, and
    says nothing of dogs, has none."""
    named = species(asked.words) if asked.key in _TOLD_BY else None
    if named is None or named[0] in _WIDE or named[0] in singular_words(persona):
        return None
    for line in persona:
        for fact in _known(line):
            own = species(fact.words) if fact.holds and fact.key == asked.key else None
            if own and own[1] == named[1] and own[1] in _TOLD_KINDS:
                return line
    return None


def asks_which(question: str) -> bool:
    """Whether a question is for what somebody has, or how many, rather than whether."""
    return _WHICH.search(spelled_out(closing(question))) is not None


def asked_fact(question: str) -> str | None:
    """What yes would state: "have any pets", "am a nurse"; of "what pets do you have?" that there
    are some."""
    text = spelled_out(closing(question))
    if found := _WHICH.search(text):
        return f"{found['play'] or 'have'} {found['what']}"
    found = _QUESTION.search(text)
    if found is None:
        return None
    if found["any"]:
        return f"have any {found['any']}"
    if owned := found["got"] or found["have"]:
        return f"have {owned}"
    # Afraid of what, good at what: only the whole of it could be answered.
    if found["be"] == "are" and ENDS.intersection(found["rest"].split()):
        return None
    return f"{'am' if found['be'] == 'are' else 'do'} {found['rest']}"


def _implied(text: str) -> Iterator[Fact]:
    plain = spelled_out(text)
    for pattern, statements in _IMPLICATIONS:
        if pattern.search(plain):
            yield from (fact for statement in statements for fact in stated(statement))
