"""PersonaChat in the two forms it is passed around in (Zhang et al. 2018; Wolf et al. 2019)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from training.data.dialogue import Damage, Dialogue, dialogue_from

CHUNK = 1 << 20
_NUMBERED = re.compile(r"(\d+) (.*)", re.DOTALL)
_YOURS, _PARTNERS = "your persona:", "partner's persona:"
_SPLIT = re.compile(r'"(\w+)"\s*:\s*\[')


def read_hugging_face(stream: TextIO, damage: Damage, split: str = "train") -> Iterator[Dialogue]:
    """Hugging Face's JSON: `{"train": [{"personality", "utterances": [{"history",
    "candidates"}]}], "valid": […]}`, read one dialogue at a time; or just one such list.

    The bot is the second speaker; the true reply is the last candidate. Damage is counted by
    dialogue, as the file has one line.
    """
    for number, value in enumerate(_list_items(stream, split), 1):
        try:
            yield _from_utterances(value)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            damage.add(number, f"not a PersonaChat dialogue ({error!r})")


def _from_utterances(value: Any) -> Dialogue:
    last = value["utterances"][-1]
    turns = [*last["history"], last["candidates"][-1]]
    dialogue = dialogue_from([[], value["personality"]], turns, source="personachat")
    wrong = tuple(str(text) for text in last["candidates"][:-1])
    return Dialogue(dialogue.source, dialogue.personas, dialogue.turns, wrong)


def _list_items(stream: TextIO, split: str) -> Iterator[Any]:
    """The items of the list under `split`, holding one of them in memory at a time."""
    decoder, buffer = json.JSONDecoder(), stream.read(CHUNK).lstrip()
    if buffer.startswith("{"):
        buffer = _seek_split(stream, buffer, split)
    elif buffer.startswith("["):
        buffer = buffer[1:]
    else:
        raise ValueError("not JSON")
    while True:
        buffer = buffer.lstrip(" \t\r\n,")
        if buffer.startswith("]"):
            return
        try:
            value, end = decoder.raw_decode(buffer)
        except ValueError:
            more = stream.read(CHUNK)
            if not more:
                raise ValueError("the JSON ends in the middle of a dialogue") from None
            buffer += more
            continue
        yield value
        buffer = buffer[end:]
        if not buffer:
            buffer = stream.read(CHUNK)


def _seek_split(stream: TextIO, buffer: str, split: str) -> str:
    """What follows `"split": [`. A split that comes later is reached by reading over the others."""
    while True:
        for found in _SPLIT.finditer(buffer):
            if found[1] == split:
                return buffer[found.end() :]
        more = stream.read(CHUNK)
        if not more:
            raise ValueError(f"no list named {split}")
        buffer = buffer[-64:] + more


def read_parlai(stream: TextIO, damage: Damage) -> Iterator[Dialogue]:
    """ParlAI's text: numbered lines, `your persona:` and `partner's persona:` lines first, then
    `partner's text <tab> your reply <tab> reward <tab> candidate|candidate|…`.

    A number 1 starts the next dialogue. "You" are the second speaker.
    """
    block: list[tuple[int, str]] = []
    for number, line in enumerate(stream, 1):
        found = _NUMBERED.fullmatch(line.rstrip("\r\n"))
        if found is None:
            if line.strip():
                damage.add(number, "no number at the start")
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
    wrong: tuple[str, ...] = ()
    for number, text in block:
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
            if len(rest) > 2:
                wrong = tuple(item for item in rest[2].split("|") if item != rest[0])
    try:
        made = dialogue_from(personas, turns, source="parlai")
    except ValueError as error:
        damage.add(block[0][0], str(error))
        return
    yield Dialogue(made.source, made.personas, made.turns, wrong)
