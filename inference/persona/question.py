"""What a message asks, in plain words: however hastily it was typed, whatever comes after it."""

from __future__ import annotations

import re

from inference.persona.words import content, folded
from inference.prompt import straight

# A question is at the end of a message, and no longer.
QUESTION_CHARACTERS = 200

_SHORTHAND = {
    "u": "you",
    "ya": "you",
    "ur": "your",
    "wat": "what",
    "wats": "what's",
    "whats": "what's",
    "wheres": "where's",
    "whos": "who's",
    "hows": "how's",
    "im": "I'm",
    "ive": "I've",
    "dont": "don't",
    "doesnt": "doesn't",
    "didnt": "didn't",
    "isnt": "isn't",
    "arent": "aren't",
    "havent": "haven't",
    "cant": "can't",
    "bf": "boyfriend",
    "gf": "girlfriend",
    "favourite": "favorite",
}
_TYPED = re.compile(rf"\b(?:{'|'.join(_SHORTHAND)})\b(?!')", re.IGNORECASE)
_ARE = re.compile(r"\br(?= (?:u|ur|ya|you|your)\b)", re.IGNORECASE)
# A hundred commas say no more than three, and take a pattern long to leave behind.
_RUNS = re.compile(r"([\W_]{2})[\W_]+([\W_])")
# What is said after a question and asks for nothing.
_FILLERS = re.compile(
    r"(?:[ ,]+(?:then|exactly|again|though|tho|anyway|please|pls|plz|by the way|btw|lol|lmao"
    r"|ha(?:ha)+|if i may ask|if you don't mind)|, *(?:man|dude|bro|buddy|mate|dear|my friend))+"
    r"(?=\W*$)",
    re.IGNORECASE,
)
# "What do you do? I'm a teacher."
_OWN_ANSWER = re.compile(
    r"\W*(?:(?:well|as for me|personally|because|cause|lol|haha)\b[, ]*)?"
    r"(?:i|i'm|i've|my|mine|we)\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"\b(?:what|where|when|who|whom|which|how|why|tell me|do you (?:work|have a job"
    r"|(?:know|remember) my)"
    r"|(?:any |your )?hobbies|have (?:a hobby|hobbies)|(?:may i (?:ask|know) )?your name)\b"
    r"[^.!?]*\??\W*$"
)
_ANY_QUESTION = re.compile(
    r"(?:^|[.!?,] *)(?:(?:and|so|but|well|then|ok|oh)[, ]+)*"
    r"(?:what|where|when|who|whom|whose|which|how|why|do|does|did|are|is|was|were|have|has|can"
    r"|could|would|will|any|tell me)\b[^.!?]*\??\W*$"
)
# Of more in one message the last are answered.
_QUESTIONS = 3
# Where one question ends and another may begin.
_BETWEEN = re.compile(
    r"(?<=\?)\s+|,?\s+and\s+(?=(?:what|where|when|who|whom|which|how|why|do|does|did|are|is|have|can"
    r"|any)\b)",
    re.IGNORECASE,
)
_JOINT = re.compile(r"[.!?,;]+|\band (?=(?:i|my)\b)", re.IGNORECASE)
_WHAT_IS = re.compile(r"\b(what|where|when|who|how)'?s\b")
# What a question names of the thing that it is about; the line may say it in another word.
ASPECTS = content(
    "name called named color colour kind type sort many much long old often time tell feel think"
    " know remember"
)
_LEAD = re.compile(
    r"^\W*(?:(?:well|oh|and|so|but|now|actually|also|because|yes|yeah|no|hi|hello|hey)\b[, ]*)*",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """A text as it would be printed: "how old r u" becomes "how old are you"."""
    text = _ARE.sub("are", straight(text))
    return _TYPED.sub(lambda found: _SHORTHAND[folded(found[0])], text)


def closing(message: str) -> str:
    """The end of a message in plain words, without what asks for nothing."""
    text = _RUNS.sub(r"\1\2", plain(message[-QUESTION_CHARACTERS:]))
    return _FILLERS.sub("", text)


def question_in(message: str, name: str | None = None) -> str:
    """The question that a message closes with, but for what the person says of themself after it;
    without the `name` that it is addressed to."""
    text = closing(message)
    question, mark, after = text.rpartition("?")
    if mark and _OWN_ANSWER.match(after):
        text = f"{question}?"
    if name:
        # "Are you Ida?" asks for more than "are you, Ida?"
        address = rf"(?:, *|(?<!\bis)(?<!\bname)(?<!\byou) ){re.escape(name)}(?=\W*$)"
        text = re.sub(address, "", text, flags=re.IGNORECASE)
    return text


def questions_in(message: str, name: str | None = None) -> list[str]:
    """The questions that a message closes with, one or several: "how old are you and what do you
    do?" are two."""
    parts = _BETWEEN.split(question_in(message, name))
    return [part for part in parts if part.strip()][-_QUESTIONS:] or [""]


def own_clauses(text: str) -> list[str]:
    """What somebody says, clause by clause, without the "well" and "oh" before it."""
    return [_LEAD.sub("", clause) for clause in _JOINT.split(plain(text))]


def question_at_end(message: str) -> str | None:
    """The question with a question word that a message ends with, in lower case."""
    return _at_end(_QUESTION, message)


def any_question_at_end(message: str) -> str | None:
    """The question of any kind that a message ends with, in lower case."""
    return _at_end(_ANY_QUESTION, message)


def _at_end(pattern: re.Pattern[str], message: str) -> str | None:
    found = pattern.search(_WHAT_IS.sub(r"\1 is", closing(message).lower()))
    return found.group() if found else None
