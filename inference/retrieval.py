"""Which line of a persona a question asks for.

By the words they share, after a few questions whose answers share none ("what do you do for a
living?", "I am a nurse."). Where in doubt it is no line: the model is left alone then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.words import content

_QUESTION = re.compile(
    r"\b(?:what|where|when|who|whom|which|how|why|tell me)\b[^.!?]*\??\W*$", re.IGNORECASE
)
_NUMBER = (
    r"(?:\d+|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[ -]\w+)?"
    r"|ten|eleven|twelve|\w+teen)"
)
_TRADE = (
    r"(?!\w*(?:mother|father|brother|sister|daughter|lover|eater|drinker|sleeper|talker|believer)\b)"
    r"\w+(?:er|or|ist|ian|ant|man|woman|smith|wright)|nurse|chef|cook|judge|student|clerk|coach"
    r"|guide|surgeon|pilot|mechanic|architect|vet|monk|nun|priest|poet|clown|spy|guard"
)
# Questions of who somebody is, and the line that answers each.
_IDENTITY = [
    (
        r"what (?:do|did) you do(?: for (?:a living|a job|work|money)| all day| these days)?\W*$"
        r"|what is your (?:job|work|trade|profession|occupation)\b|what kind of work\b"
        r"|how do you (?:earn|make) (?:a living|money|your living|your money)",
        rf"i work\b|i(?: a|')m (?:an?|the) (?:[\w-]+ ){{0,3}}?(?:{_TRADE})\b"
        r"|i (?:teach|sell|repair|mend|fix|build|deliver|run|drive|raise|grow|bake|clean|design)\b",
    ),
    (r"how old are you|what is your age", rf"i(?: a|')m {_NUMBER}(?:,| years?\b| and\b|\W*$)"),
    (r"where (?:do you live|are you living)|where is your home", r"i (?:still )?live\b(?! with)"),
    (
        r"where (?:are you(?: originally)? from|do you come from|were you born|did you grow up)",
        r"i(?: a|')m from\b|i (?:come|was born|grew up|moved (?:here )?from)\b",
    ),
    (r"what is your name|who are you", r"my name is\b"),
]
_ASKED_FOR = [
    (re.compile(asks, re.IGNORECASE), re.compile(answers, re.IGNORECASE))
    for asks, answers in _IDENTITY
]
_HOBBY = re.compile(
    r"what (?:do you do for fun|do you like to do|do you enjoy|are your hobbies)"
    r"|what is your hobby|your (?:free|spare) time",
    re.IGNORECASE,
)
_LIKES = re.compile(r"i (?:love|like|enjoy|collect)\b", re.IGNORECASE)
# What a question names of the thing that it is about; the line may say it in another word.
_ASPECTS = content(
    "name called named color colour kind type sort many much long old often time tell feel think"
)


def line_asked_for(question: str, persona: Sequence[str], said: Sequence[str] = ()) -> str | None:
    """The line that answers a message; None where it asks for none of them.

    It is of the kind that is asked for, or has all words of some meaning in the question. What was
    `said` just now is told again only to who asks for it by name: job, age, home.
    """
    found = _QUESTION.search(question.replace("\u2019", "'").replace("what's", "what is"))
    if found is None:
        return None
    asked = found.group()
    for asks, answers in _ASKED_FOR:
        if asks.search(asked):
            return next((line for line in persona if answers.match(line)), None)
    news = [line for line in persona if not any(line.rstrip(".!") in text for text in said)]
    if _HOBBY.search(asked):
        return next((line for line in news if _LIKES.match(line)), None)
    wanted = content(asked) - _ASPECTS
    return next((line for line in news if wanted and wanted <= content(line)), None)
