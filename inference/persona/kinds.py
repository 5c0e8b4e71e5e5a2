"""Kinds of questions about a character, and the lines of a persona that answer each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

NUMBER = (
    r"(?:\d+|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[ -]\w+)?"
    r"|ten|eleven|twelve|\w+teen)"
)
# What somebody can be beside their trade.
_NO_TRADE = (
    "mother|father|brother|sister|daughter|grandmother|grandfather|lover|eater|drinker|sleeper|talker"
    "|believer|owl|bird|one|child|vegan|vegetarian|person|people|twin|widow|widower|fan|bit|little|very"
    "|terrible"
)
_TRADE = (
    rf"(?!(?:{_NO_TRADE})\b)\w+(?:er|or|ist|ian|ant|man|woman|smith|wright|herd|wife)|nurse|chef|cook"
    r"|judge|student|clerk|coach|guide|surgeon|pilot|mechanic|architect|vet|monk|nun|priest|poet"
    r"|clown|spy|guard|captain|detective|agent|mason|acrobat|mascot|extra"
)
# What somebody can be beside it, though a few live on it.
_RARELY_TRADE = (
    "smoker|gamer|reader|swimmer|loner|dreamer|player|winner|loser|killer|stranger|teenager|cheater"
    "|hipster|partner|minor|senior|junior|computer|monster|gangster|foreigner|outsider"
)
IS_TRADE = re.compile(
    rf"(?!(?:{_NO_TRADE}|{_RARELY_TRADE})$)(?:\w+(?:er|or|smith|wright)|nurse|chef|judge|student|clerk|coach|guide"
    r"|pilot|mechanic|architect|vet|monk|nun|priest|poet|clown|spy|guard|captain|detective|agent"
    r"|mason|acrobat|musician|politician|physician|electrician|librarian|scientist|dentist|artist"
    r"|journalist|pianist|policeman|fireman|salesman|accountant)"
)
RELATIVES = (
    r"(?:grand)?(?:mother|father|parent|son|daughter|child)s?|mom|mum|dad|grandma|grandpa|wife|husband"
    r"|brothers?|sisters?|twins?|uncles?|aunts?|cousins?|nephews?|nieces?|kids|children|family"
)
# What people do besides working.
_NO_WORK = """
    am have love like enjoy adore prefer hate dislike fear live want would wish can could will was
    had do don never always only once still often sometimes secretly collect own believe speak know
    think dream hope need wear feel eat drink smoke sleep wake laugh cry grew came met broke went
    got found won lost saw just also really may must miss look(?!.after) cannot trip tap
"""
_PASTIMES = (
    r"i (?:play|sing|dance|knit|sew|bake|cook|read|write|paint|draw|carve|build|make|grow|garden"
    r"|swim|ride|fence|hike|climb|fish|fold|juggle|brew|watch|study|practice|restore|repair|race"
    r"|ski|surf|sail|run|walk|photograph|go|do(?! not)|keep|breed|train|fly|whittle|record|row"
    r"|skate)\b"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One question of the kind, what any has in it, and how lines that answer it begin, the surest
    first; `guesses` begin lines of a persona that most likely do."""

    question: str
    asks: re.Pattern[str]
    answers: tuple[re.Pattern[str], ...]
    guesses: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, question: str, asks: str, *answers: str, guess: str = "") -> Kind:
        """`asks` of a question in lower case."""
        patterns = tuple(re.compile(each, re.IGNORECASE) for each in answers)
        guesses = (re.compile(guess, re.IGNORECASE),) if guess else ()
        return cls(question, re.compile(asks), patterns, guesses)

    def is_asked(self, question: str) -> bool:
        """Whether a question, in lower case, is of this kind."""
        return self.asks.search(question) is not None

    def line_of(self, lines: Sequence[str]) -> str | None:
        """The line of a persona that answers it."""
        return _first_match((*self.answers, *self.guesses), lines)

    def told_in(self, clauses: Sequence[str]) -> str | None:
        """What answers it of what somebody has said."""
        return _first_match(self.answers, clauses)


def _first_match(patterns: Sequence[re.Pattern[str]], lines: Sequence[str]) -> str | None:
    return next((line for each in patterns for line in lines if each.match(line)), None)


JOB = Kind.of(
    "what do you do?",
    r"what (?:do|did) you do(?: for (?:a living|a job|work|money)| all day| these days)?\W*$"
    r"|what (?:is|was) your (?:job|work|trade|profession|occupation)\b|what kind of work do you\b"
    r"|how do you (?:earn|make) (?:a living|money|your living|your money)|where do you work\W*$"
    r"|what (?:job|work) do you (?:do|have)\W*$|what do you work (?:as|in|with)\W*$"
    r"|(?:\b(?:what|how)|\btell me(?: a bit| more| something)?) about your (?:job|work)\W*$"
    r"|^do you (?:work|have a job)\W*$",
    r".*\bfor a living\b",
    rf"i work\b|i(?: a|')m (?:an?|the) (?:[\w-]+ ){{0,3}}?(?:{_TRADE})\b",
    r"i(?: a|')m (?:retired|between jobs|learning to be|studying|in my \w+ year)\b",
    rf"i(?: a|')m (?:an?|the) (?!(?:[\w-]+ )?(?:{_NO_TRADE})\b)",
    guess=rf"i (?!(?:{'|'.join(_NO_WORK.split())})\b)\w+ ",
)
AGE = Kind.of(
    "how old are you?",
    r"how old are you\b|what is your age\b",
    rf"i(?: a|')m {NUMBER}(?:,| years?\b| and\b|\W*$)|i (?:just )?turned {NUMBER}\b",
)
_FROM = r"i(?: a|')m from\b"
_LIVES = r"i (?:still )?live\b(?! with\b| for\b| alone\b)"
_CAME = rf"{_FROM}|i (?:come|was born|grew up|moved (?:here )?from)\b"
HOME = Kind.of(
    "where do you live?",
    r"where (?:do you live|are you living)|where is your home"
    r"|\babout (?:your home|where you live)\W*$",
    _LIVES,
    guess=_FROM,
)
ORIGIN = Kind.of(
    "where are you from?",
    r"where (?:are you(?: originally)? from|do you come from)",
    _CAME,
    guess=_LIVES,
)
CHILDHOOD = Kind.of("where did you grow up?", r"where (?:were you born|did you grow up)", _CAME)
NAME = Kind.of(
    "what is your name?",
    r"what is your name\b|who are you\W*$|tell me your name\b|(?:ask|know) your name\W*$"
    r"|^your name\W*$|what (?:are you called|(?:should|can|may|do) i call you)\W*$",
    r"my name is\b",
    r"i(?: a|')m called\b|(?:\w+ )?call me\b",
)
# Who somebody is.
IDENTITY = (JOB, AGE, HOME, ORIGIN, CHILDHOOD, NAME)
HOBBY = Kind.of(
    "what do you do for fun?",
    r"what (?:do you (?:do for fun|enjoy|like(?: to do)?\W*$)|are (?:your hobbies|you into))"
    r"|what is your hobby|your (?:free|spare) time|^(?:any |your )?hobbies"
    r"|^have (?:a hobby|hobbies)|\babout your hobb",
    r"i (?:love|like|enjoy) (?:to \w|\w+ing\b)|i collect\b",
    _PASTIMES,
    guess=r"i (?:love|like|enjoy)\b",
)
DREAM = Kind.of(
    "what do you dream of?",
    r"what (?:is your (?:\w+ )?dream|do you (?:want|dream of|wish for|hope for))\b",
    r"i (?:want|would like|hope|dream|wish)\b",
)
FAMILY = Kind.of(
    "what is your family like?",
    r"\babout your family\b|your family like\b",
    rf"(?:my|i (?:have|raise|live with)(?: my)?)(?: \w+){{0,2}}? (?:{RELATIVES})\b",
    r"i(?: a|')m (?:an only child|married|single|divorced|a (?:widow|widower|twin)"
    r"|the \w+ (?:one )?of)\b",
)
