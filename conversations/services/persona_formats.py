"""One reader for each format of `persona_files`.

A reader takes a binary stream and yields (place, lines, problem): the lines of one character, or
an empty list and what is wrong at that place. It keeps one character in memory, not the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ijson

from conversations.services.unzipping import Stream

Entry = tuple[str, list[str], str]

MAX_LINE_BYTES = 4_000_000
MAX_DIGITS = 9
# A character's lines are at most this deep in a document, {"train": [{"personality": [...]}]}, and
# something that is no line one deeper. Below it nothing is looked at.
_DEPTH_OF_LINES = 4
MAX_DEPTH = 100
_OPENING = {"start_map", "start_array"}
_CLOSING = {"end_map", "end_array"}
_NUMBERED = re.compile(r"(\d+) (.*)")
_PERSONA = re.compile(r"(your|partner's) persona:(.*)")


class UnreadableDocument(ValueError):
    """The whole file cannot be read in this format."""


def read_personachat(stream: Stream) -> Iterator[Entry]:
    """Entries are objects in an array, either the whole document or the value of a key such as
    "train". Everything in them but "personality" is skipped as it streams by."""
    counts: dict[str, int] = {}
    lines: list[Any] | None = None
    depth = ""
    # As plain numbers what is out of range is refused; as Decimals it ends the process.
    events = ijson.basic_parse(stream, use_float=True)
    try:
        for prefix, event, value in ijson.parse(_shallow(events)):
            if event == "start_map" and _is_entry(prefix):
                depth, lines = prefix, None
                counts[prefix] = counts.get(prefix, -1) + 1
            elif depth and prefix == f"{depth}.personality":
                lines = [] if event == "start_array" else lines
            elif lines is not None and prefix == f"{depth}.personality.item":
                lines.append(value)
            elif event == "end_map" and prefix == depth:
                yield _entry(_place(prefix, counts), lines, "personality")
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise UnreadableDocument(_json_problem(error)) from error
    except RecursionError as error:
        place = _place(depth, counts) if depth else "it"
        raise UnreadableDocument(f"{place} is nested more than {MAX_DEPTH} deep.") from error


def _shallow(events: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """What may be a character, out of a whole document. Raises RecursionError.

    The place of each event takes as long to tell as it is deep.
    """
    depth = 0
    for event in events:
        if event[0] in _OPENING:
            depth += 1
            if depth > MAX_DEPTH:
                raise RecursionError
        if depth <= _DEPTH_OF_LINES + 1:
            yield event
        if event[0] in _CLOSING:
            depth -= 1


def _place(prefix: str, counts: dict[str, int]) -> str:
    split = prefix.rpartition("item")[0].rstrip(".") or "entry"
    return f"{split}[{counts[prefix]}]"


def _is_entry(prefix: str) -> bool:
    return prefix == "item" or (prefix.endswith(".item") and prefix.count(".") == 1)


def _json_problem(error: Exception) -> str:
    problem = " ".join(str(error).split())
    if "UTF8" in problem or "UTF-8" in problem or isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 text ({problem}). {_CONVERT}"
    return f"is not whole, valid JSON ({problem})."


def read_parlai(stream: Stream) -> Iterator[Entry]:
    """A dialogue begins where the numbers begin again at 1; `your` and `partner's` lines in it
    are two characters."""
    sides: dict[str, list[str]] = {}
    start = 1
    for number, text in _text_lines(stream):
        if not text:
            continue
        numbered = _NUMBERED.match(text)
        if not numbered:
            yield f"line {number}", [], "does not begin with a number and a space."
            continue
        if len(numbered[1]) > MAX_DIGITS:
            digits = len(numbered[1])
            yield f"line {number}", [], f"begins with a number of {digits:,} digits."
            continue
        if int(numbered[1]) == 1:
            yield from _sides(sides, start)
            sides, start = {}, number
        if persona := _PERSONA.match(numbered[2]):
            sides.setdefault(persona[1], []).append(persona[2].partition("\t")[0])
    yield from _sides(sides, start)


def _sides(sides: dict[str, list[str]], start: int) -> Iterator[Entry]:
    for lines in sides.values():
        yield f"line {start}", lines, ""


def read_dialogues(stream: Stream) -> Iterator[Entry]:
    """The lines of both speakers of every dialogue; a speaker without lines is no character."""
    for number, text in _text_lines(stream):
        if not text:
            continue
        place = f"line {number}"
        try:
            personas = json.loads(text)["personas"]
        except ValueError as error:
            yield place, [], f"is not JSON ({error})."
        except RecursionError:
            yield place, [], "is nested too deeply to be read."
        except (KeyError, TypeError):
            yield place, [], 'has no "personas".'
        else:
            if not isinstance(personas, list):
                yield place, [], '"personas" is not a list.'
                continue
            for lines in personas:
                if lines != []:
                    yield _entry(place, lines, "personas")


def _entry(place: str, lines: Any, key: str) -> Entry:
    if lines is None:
        return place, [], f'has no "{key}".'
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        return place, [], f'"{key}" is not a list of sentences.'
    return place, lines, ""


_CONVERT = "Convert it first, for example: iconv -f latin1 -t utf-8 OLD > NEW"


def _text_lines(stream: Stream) -> Iterator[tuple[int, str]]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise UnreadableDocument(
                f"line {number} is longer than {MAX_LINE_BYTES:,} bytes; is this another format?"
            )
        try:
            yield number, line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise UnreadableDocument(
                f"line {number} is not UTF-8 text (byte {line[error.start]:#04x} at column "
                f"{error.start + 1}). {_CONVERT}"
            ) from error


READERS: dict[str, Callable[[Stream], Iterator[Entry]]] = {
    "personachat": read_personachat,
    "parlai": read_parlai,
    "dialogues": read_dialogues,
}
