"""What would be out of place in a reply.

A small model answers "my dog died" with "how cute!", because that is what most people hear of
their dogs; it says hello again in the middle of a conversation, and takes leave of whoever has just
begun to like it. Which words those are is known before a token is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.prompt import Turn, straight, texts_of

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_OF_OWN = re.compile(r"\b(?:i|i'm|i've|my|me|we|our|us)\b")
_NOT = re.compile(r"\b(?:not|never|no|isn't|wasn't|don't|didn't|won't|nobody|without)\b")
_BAD_NEWS = re.compile(
    r"\b(?:died|dead|death|dying|passed away|funeral|buried|cancer|sick|ill|in (?:the )?hospital"
    r"|surgery|fever|accident|crash(?:ed)?|hurts?|hurting|injured|pain|\w*ache|broke (?:my|up|down)"
    r"|broken|stole|stolen|robbed|fired|laid off|divorced?|cheated|left me|lonely|sad|cry|cried"
    r"|crying|depressed|miserable|upset|angry|furious|stressed|worried|anxious|nervous|scared|afraid"
    r"|exhausted|awful|terrible|horrible|worst|failed|lost|miss|hate|homesick|ruined|cancell?ed"
    r"|can(?:no|')t sleep|down today|bad (?:day|news|dream|mood))\b"
)
_GOOD_NEWS = re.compile(
    r"\b(?:promoted|promotion|raise|won|graduated|engaged|getting married|got married|wedding"
    r"|pregnant|(?:having|had) a baby|birthday|vacation|holiday|excited|happy|great (?:day|news)"
    r"|wonderful|passed (?:my|the|it|all)|got (?:the|a new) (?:job|house|car|puppy|kitten)"
    r"|new (?:job|house|puppy|kitten)|good (?:news|mood)|in love|proud)\b"
)
# What may ask for "sorry" besides, if only because something is wrong or denied.
_TROUBLE = re.compile(
    r"\b(?:tired|hard|tough|rough|difficult|stress|trouble|problems?|wrong|mistake|confus\w*|annoy\w*"
    r"|rude|mean|yell\w*|f(?:ight|ought)|argu\w+|disease|dementia|covid|flu|cold|allerg\w+|debt|alone"
    r"|bored|boring|struggl\w+|sucks?|unfortunately|worse|ugh|late|stop|sorry|dying|killed|burn\w*"
    r"|never|nobody|no|not|cannot|without|wish|used to)\b|n't\b"
)
_CHEERFUL_WORDS = """
    nice great cool awesome fun cute sweet lovely wonderful amazing congratulations congrats glad
    exciting jealous fantastic adorable yay perfect interesting enjoy haha lol
"""
CHEERFUL = frozenset(_CHEERFUL_WORDS.split())
SORRY = frozenset(["sorry", "sad", "awful", "terrible", "sucks", "poor"])
REGRET = frozenset(["sorry"])
GREETING = frozenset(["hi", "hello", "hey"])
LEAVING = frozenset(["bye", "goodbye", "talking", "chatting"])
_GREETS = re.compile(r"\b(?:hi+|hello+|hey+|yo|greetings|good (?:morning|evening|afternoon|day))\b")
_LEAVES = re.compile(
    r"\b(?:bye+|goodbye|good ?night|see (?:you|ya)|later|ttyl|cya|take care|farewell"
    r"|(?:have|need|got|gotta|want) (?:to )?(?:go|run|leave|sleep)|nice (?:talking|chatting))\b"
)
KINDS = (CHEERFUL, SORRY, REGRET, GREETING, LEAVING)


def out_of_place(turns: Sequence[Turn]) -> list[frozenset[str]]:
    """Which KINDS of words a reply to the last turn had better do without."""
    message = straight(turns[-1].text.lower()) if turns else ""
    kinds = [_out_of_tune(message)]
    lately = straight(" ".join(texts_of("person", turns)[-2:]).lower())
    if not (_BAD_NEWS.search(lately) or _TROUBLE.search(lately)):
        kinds.append(REGRET)
    if texts_of("bot", turns) and not _GREETS.search(message):
        kinds.append(GREETING)
    if not _LEAVES.search(message):
        kinds.append(LEAVING)
    return [words for words in kinds if words]


def _out_of_tune(message: str) -> frozenset[str]:
    """What does not go with news of the person's own, good or bad; nothing where it has neither."""
    told = [s for s in _SENTENCE.findall(message) if "?" not in s and _OF_OWN.search(s)]
    bad = any(_BAD_NEWS.search(sentence) and not _NOT.search(sentence) for sentence in told)
    good = any(_GOOD_NEWS.search(sentence) and not _NOT.search(sentence) for sentence in told)
    if bad == good:
        return frozenset()
    return CHEERFUL if bad else SORRY
