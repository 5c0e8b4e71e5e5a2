"""PersonaChat in the two forms it is passed around in (Zhang et al. 2018; Wolf et al. 2019)."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TextIO

import ijson

from training.data.dialogue import NOT_UTF8, Damage, Dialogue, dialogue_from, is_utf8

_NUMBERED = re.compile(r"(\d+) (.*)", re.DOTALL)
_YOURS, _PARTNERS = "your persona:", "partner's persona:"
# What stands for the partner's first turn where "you" open: in Hugging Face's JSON, and in ParlAI.
_SILENCE = frozenset(["__ SILENCE __", "__SILENCE__"])


def read_hugging_face(stream: TextIO, damage: Damage, split: str = "train") -> Iterator[Dialogue]:
    """Hugging Face's JSON: `{"train": [{"personality", "utterances": [{"history",
    "candidates"}]}], "valid": […]}`, read one dialogue at a time; or just one such list.

    The bot is the second speaker, or the first where it opens; the true reply is the last
    candidate. Damage is counted by dialogue, as the file has one line. Raises ValueError for what
    is not such a file.
    """
    is_list = stream.read(256).lstrip().startswith("[")
    stream.seek(0)
    if stream.buffer.read(len(BOM_UTF8)) != BOM_UTF8:
        stream.buffer.seek(0)
    number = 0
    try:
        items = ijson.items(stream.buffer, "item" if is_list else f"{split}.item")
        for number, value in enumerate(items, 1):
            try:
                yield _from_utterances(value)
            except (ValueError, KeyError, IndexError, TypeError) as error:
                damage.add(number, f"not a PersonaChat dialogue ({error!r})")
    except ijson.JSONError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"after {number} dialogues: {reason}") from error
    if not number:
        raise ValueError(f"no dialogues under {split!r}")


def _from_utterances(value: Any) -> Dialogue:
    last = value["utterances"][-1]
    turns = [*last["history"], last["candidates"][-1]]
    wrong: list[tuple[str, ...]] = [()] * len(turns)
    for utterance in value["utterances"]:
        wrong[len(utterance["history"])] = tuple(map(str, utterance["candidates"][:-1]))
    return _dialogue(([], value["personality"]), turns, wrong, source="personachat")


def read_parlai(stream: TextIO, damage: Damage) -> Iterator[Dialogue]:
    """ParlAI's text: numbered lines, `your persona:` and `partner's persona:` lines first, then
    `partner's text <tab> your reply <tab> reward <tab> candidate|candidate|…`.

    A number 1 starts the next dialogue. "You" are the second speaker, or the first where you open.
    """
    block: list[tuple[int, str]] = []
    for number, line in enumerate(stream, 1):
        found = _NUMBERED.fullmatch(line.rstrip("\r\n"))
        if found is None:
            if line.strip():
                damage.add(number, "no number at the start" if is_utf8(line) else NOT_UTF8)
            continue
        if found[1] == "1" and block:
            yield from _parlai_dialogue(block, damage)
            block = []
        block.append((number, found[2].replace("\\n", "\n")))
    if block:
        yield from _parlai_dialogue(block, damage)


def _parlai_dialogue(block: list[tuple[int, str]], damage: Damage) -> Iterator[Dialogue]:
    personas: tuple[list[str], list[str]] = ([], [])
    turns: list[str] = []
    wrong: list[tuple[str, ...]] = []
    for number, text in block:
        if not is_utf8(text):
            damage.add(number, NOT_UTF8)
            return
        if text.startswith(_PARTNERS):
            personas[0].append(text.removeprefix(_PARTNERS).strip())
        elif text.startswith(_YOURS):
            personas[1].append(text.removeprefix(_YOURS).strip())
        else:
            said, *rest = text.split("\t")
            if not rest or not said.strip() or not rest[0].strip():
                damage.add(number, "no tab between what is said and the reply")
                return
            turns += [said, rest[0]]
            others = rest[2].split("|") if len(rest) > 2 else []
            wrong += [(), tuple(item for item in others if item != rest[0])]
    try:
        dialogue = _dialogue(personas, turns, wrong, source="parlai")
    except ValueError as error:
        damage.add(block[0][0], str(error))
        return
    yield dialogue


def _dialogue(
    personas: tuple[Sequence[str], Sequence[str]],
    turns: Sequence[str],
    wrong: Sequence[tuple[str, ...]],
    *,
    source: str,
) -> Dialogue:
    """A Dialogue whose second speaker is the bot. Where the first turn is silence, which is no
    turn, the second speaker opens and so becomes the first. Raises ValueError."""
    opens = len(turns) > 0 and turns[0] in _SILENCE
    if opens:
        personas, turns, wrong = (personas[1], personas[0]), turns[1:], wrong[1:]
    made = dialogue_from(personas, turns, source=source)
    return replace(made, candidates=tuple(wrong), bot=0 if opens else 1)
