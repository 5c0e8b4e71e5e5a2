"""Makes dialogues of a person with a character who answers from persona lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from training.data.dialogue import Dialogue
from training.grammar.conversation import Conversation
from training.grammar.lines import PersonaMaker
from training.grammar.questions import Speaker
from training.grammar.rules import load_rules

SOURCE = "grammar"
# Share of the personas that come from elsewhere, where there is an elsewhere.
DRAWN_SHARE = 0.3


def grammar_dialogues(
    count: int,
    *,
    seed: int = 0,
    pools: Sequence[Sequence[Sequence[str]]] = (),
    words: Sequence[str] = (),
) -> Iterator[Dialogue]:
    """`count` dialogues, the same for the same arguments; the second speaker is the character.

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
            speakers.append(Speaker(list(persona), rules.facts(persona)))
        turns = tuple(Conversation(speakers, rules, maker, random).turns())
        first, second = (tuple(speaker.lines) for speaker in speakers)
        yield Dialogue(SOURCE, (first, second), turns)
