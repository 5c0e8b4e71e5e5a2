"""Persona lines for dialogues that have none: what a speaker says about themself.

After Mazaré et al. 2018, "Training Millions of Personalized Dialogue Agents": a sentence is taken
as a persona line when it is of 4 to 20 words, contains "i" or "my", a verb, and a noun or
adjective. Without a tagger, verbs are a list of those by which people describe themselves.
"""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

from training.data.dialogue import Dialogue

MAX_LINES = 5
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_SELF = re.compile(
    r"^(?:(?:well|yes|yeah|no|oh|and|but|so|hi|hello)\b[, ]*)*"
    r"((?:i (?:am|was|have|had|love|like|enjoy|hate|work|worked|live|lived|play|played|own|want|"
    r"wish|collect|study|studied|teach|drive|grew|speak|read|watch|prefer|do not|don't|never|"
    r"always|usually|used to|go to|listen)|i'm|i've|i'd love|my) .*)",
    re.IGNORECASE,
)
# Said of the conversation rather than of oneself.
_PASSING = re.compile(
    r"\b(?:that|this|it|you|your|sure|agree|sorry|glad|happy to|talking|thanks?|too|either|them|"
    r"he|she|they|the movie|the film|him|her|those|these|not sure|guess|mean|opinion|point)\b",
    re.IGNORECASE,
)


def derive_persona(dialogue: Dialogue, random: Random) -> Dialogue:
    """The dialogue with up to five lines for each speaker who has none, in a random order."""
    if all(dialogue.personas):
        return dialogue
    first, second = (
        lines or _lines_of(dialogue.turns[speaker::2], random)
        for speaker, lines in enumerate(dialogue.personas)
    )
    return replace(dialogue, personas=(first, second))


def describes_self(sentence: str) -> str | None:
    """The persona line in a sentence, or None."""
    found = _SELF.match(sentence.strip())
    if found is None:
        return None
    line = found.group(1).strip(" .!,") + "."
    if not 4 <= len(line.split()) <= 20 or "?" in line or _PASSING.search(line):
        return None
    return line


def _lines_of(turns: tuple[str, ...], random: Random) -> tuple[str, ...]:
    sentences = [sentence for turn in turns for sentence in _SENTENCE.findall(turn)]
    lines = list(dict.fromkeys(line for s in sentences if (line := describes_self(s))))
    random.shuffle(lines)
    return tuple(lines[:MAX_LINES])
