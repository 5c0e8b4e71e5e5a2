"""What would be out of place in a reply.

A small model answers "my dog died" with "how cute!", because that is what most people hear of
their dogs; it says hello again in the middle of a conversation, and takes leave of whoever has just
begun to like it; it says that it is a program where nobody asked, and asks for the name that it has
just been told. Which words those are is known before a token is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.persona.names import name_told
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
    r"|new (?:job|house|puppy|kitten)|good (?:news|mood)|in love|proud"
    r"|(?:i'm|am|feel|feeling|doing) (?:so |much |a (?:lot|bit|little) )?better)\b"
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
    exciting jealous fantastic adorable yay perfect interesting enjoy haha lol happy lucky wedding
    best impressive
"""
CHEERFUL = frozenset(_CHEERFUL_WORDS.split())
# Who tells of trouble is not asked for a hobby next.
SMALL_TALK = frozenset(["living", "hobby", "hobbies", "favorite", "weekend", "pets"])
SORRY = frozenset(["sorry", "sad", "awful", "terrible", "sucks", "poor"])
REGRET = frozenset(["sorry"])
GREETING = frozenset(["hi", "hello", "hey"])
LEAVING = frozenset(["bye", "goodbye", "talking", "chatting"])
_GREETS = re.compile(r"\b(?:hi+|hello+|hey+|yo|greetings|good (?:morning|evening|afternoon|day))\b")
_LEAVES = re.compile(
    r"\b(?:bye+|goodbye|good ?night|see (?:you|ya)|later|ttyl|cya|take care|farewell"
    r"|(?:have|need|got|gotta|want) (?:to )?(?:go|run|leave|sleep)|nice (?:talking|chatting))\b"
)
_MACHINE_WORDS = """
    program programs programmed robot robots computer computers bot pretending character
"""
MACHINE, REAL = frozenset(_MACHINE_WORDS.split()), frozenset(["real"])
_OF_MACHINES = re.compile(
    r"\b(?:program\w*|robot\w*|comput\w*|(?:chat ?)?bots?|machines?|androids?|ai|software|laptops?"
    r"|cod(?:e|es|er|ing)|tech\w*|characters?|pretend\w*|fake|artificial|real|human|alive"
    r"|a person)\b|\bwhat (?:exactly )?are you\W*$",
    re.MULTILINE,
)
# A question that cannot go on with the name goes on with nonsense.
NAME = frozenset(["name", "names", "what", "who"])
NAMED = frozenset(["named", "called"])
_TELLS_A_NAME = re.compile(r"\b(?:named|called|names? (?:is|are|was|were)|name's)\s+\w")
_ASKS = re.compile(
    r"\?|\b(?:you|yours?)\b|^\W*(?:what|who|how|where|when|why|do|does|is|are|can|guess)\b"
)
KINDS = (CHEERFUL, SMALL_TALK, SORRY, REGRET, GREETING, LEAVING, MACHINE, REAL, NAME, NAMED)
_WORD = re.compile(r"\w+")
# Bad news last for so many messages, as long as those go on telling.
_NEWS_LASTS = 5


def out_of_place(turns: Sequence[Turn], persona: Sequence[str] = ()) -> list[frozenset[str]]:
    """Which KINDS of words a reply to the last turn had better do without.

    What the lines of `persona` say in the character's own words is not out of place: whoever builds
    robots may speak of robots.
    """
    message = straight(turns[-1].text.lower()) if turns else ""
    told = [straight(text.lower()) for text in texts_of("person", turns)]
    lately = "\n".join(told[-2:])
    own = frozenset(_WORD.findall(" ".join(persona).lower()))
    kinds = _out_of_tune(told)
    if not (_BAD_NEWS.search(lately) or _TROUBLE.search(lately)):
        kinds.append(REGRET)
    if texts_of("bot", turns) and not _GREETS.search(message):
        kinds.append(GREETING)
    if not _LEAVES.search(message):
        kinds.append(LEAVING)
    if not _OF_MACHINES.search(lately):
        kinds += [words for words in (MACHINE, REAL) if words.isdisjoint(own)]
    if turns and _is_told_a_name(turns[-1].text):
        kinds += [NAME, NAMED] if NAMED.isdisjoint(own) else [NAME]
    return kinds


def _out_of_tune(told: Sequence[str]) -> list[frozenset[str]]:
    """What does not go with news of the person's own, good or bad; nothing where there are neither.

    Bad news last: what is said next is about them, unless it is news itself, and so is what follows
    until something is asked.
    """
    for age, message in enumerate(reversed(told[-_NEWS_LASTS:])):
        if age > 1 and any(_ASKS.search(later) for later in told[-age:]):
            break
        good, bad = _news(message)
        if good != bad and (bad or not age):
            return [CHEERFUL, SMALL_TALK] if bad else [SORRY]
        if good or bad:
            break
    return []


def _news(message: str) -> tuple[bool, bool]:
    """Whether it has good news and whether it has bad news of the person's own."""
    told = [s for s in _SENTENCE.findall(message) if "?" not in s and _OF_OWN.search(s)]
    good = any(_GOOD_NEWS.search(sentence) and not _NOT.search(sentence) for sentence in told)
    bad = any(_BAD_NEWS.search(sentence) and not _NOT.search(sentence) for sentence in told)
    return good, bad


def _is_told_a_name(text: str) -> bool:
    """Whether it tells what somebody is called, and asks nothing. Who tells their own name may hear
    the character's."""
    message = straight(text.lower())
    if _ASKS.search(message) or name_told(straight(text)):
        return False
    return bool(_TELLS_A_NAME.search(message))
