"""What is out of tune with how somebody feels.

A small model answers "my dog died" with "how cute!", because that is what most people hear of
their dogs. Which words do not go with bad news, and which not with good, is known before a token is
drawn.
"""

from __future__ import annotations

import re

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
CHEERFUL = frozenset(
    [
        *("nice", "great", "cool", "awesome", "fun", "cute", "sweet", "lovely", "wonderful"),
        *("amazing", "congratulations", "congrats", "glad", "exciting", "jealous", "fantastic"),
        *("adorable", "yay", "perfect", "interesting", "enjoy", "haha", "lol"),
    ]
)
SORRY = frozenset(["sorry", "sad", "awful", "terrible", "sucks", "poor"])


def out_of_tune(message: str) -> frozenset[str]:
    """The words that a reply to a message had better do without; none where nothing of it is good
    or bad news of whoever wrote it."""
    told = [s for s in _SENTENCE.findall(message.lower()) if "?" not in s and _OF_OWN.search(s)]
    bad = any(_BAD_NEWS.search(sentence) and not _NOT.search(sentence) for sentence in told)
    good = any(_GOOD_NEWS.search(sentence) and not _NOT.search(sentence) for sentence in told)
    if bad == good:
        return frozenset()
    return CHEERFUL if bad else SORRY
