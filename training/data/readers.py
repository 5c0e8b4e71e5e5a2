"""Reads dialogues from the formats they come in. Every reader streams and counts damaged lines."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TextIO

from training.data.dialogue import NOT_UTF8, Damage, Dialogue, TooShort, dialogue_from, is_utf8
from training.data.personachat import read_hugging_face, read_parlai
from training.errors import DataError

Reader = Callable[[TextIO, Damage], Iterator[Dialogue]]
CHITCHAT = "chitchat"
# Dialogues written for this project, which comes with them.
WRITTEN = "written"
_WRITTEN_FILE = Path(__file__).with_name("written.jsonl")
# Of a file that holds both: what is trained on, and what a model is measured with.
TRAIN, VALID = "train", "valid"


def read_dialogues(
    path: str | Path, damage: Damage | None = None, *, split: str = TRAIN
) -> Iterator[Dialogue]:
    """Stream the dialogues of a file, whose format its name tells.

    `.jsonl` is the project's own, `.json` PersonaChat as Hugging Face preprocessed it, which holds
    the dialogues to train on and those to measure with (`split`), `.txt` ParlAI's; each may end in
    `.gz`. The word `written` is the project's own dialogues, `chitchat` those of the package
    chitchat-dataset. Raises DataError when the file cannot be read or holds no dialogue.
    """
    damage = damage if damage is not None else Damage(str(path))
    file = data_file(path)
    if str(path) == CHITCHAT:
        yield from _read_chitchat(file)
        return
    name = file.name.removesuffix(".gz")
    readers: dict[str, Reader] = {
        ".jsonl": _read_json_lines,
        ".json": partial(read_hugging_face, split=split),
        ".txt": read_parlai,
    }
    reader = readers.get(Path(name).suffix)
    if reader is None:
        raise DataError(f"{path}: the name must end in {', '.join(readers)} (or these and .gz).")
    count = 0
    try:
        with _open(file) as stream:
            for dialogue in reader(stream, damage):
                count += 1
                yield dialogue
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    if not count:
        damaged = f" ({damage.first})" if damage.lines else ""
        raise DataError(f"{path}: holds no dialogue that can be used{damaged}.")


def read_reported(
    path: str | Path,
    report: Callable[[str], None],
    *,
    split: str = TRAIN,
    limit: int | None = None,
) -> Iterator[Dialogue]:
    """`read_dialogues`, but for no more than `limit`; `report` is told at the end what was damaged
    among them."""
    damage = Damage(str(path))
    yield from islice(read_dialogues(path, damage, split=split), limit)
    if damage.lines:
        report(str(damage))


def data_file(path: str | Path) -> Path:
    """The file behind a name of data. Raises DataError where `chitchat` is not installed."""
    if str(path) == WRITTEN:
        return _WRITTEN_FILE
    if str(path) != CHITCHAT:
        return Path(path)
    spec = find_spec("chitchat_dataset")
    if spec is None or spec.origin is None:
        raise DataError("chitchat: needs the package: pip install chitchat-dataset")
    return Path(spec.origin).with_name("dataset.json")


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    """The file as text, without a byte order mark; bytes that are no UTF-8 become what `is_utf8`
    finds, line by line."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as stream:
            yield stream
    else:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
            yield stream


def _read_json_lines(stream: TextIO, damage: Damage) -> Iterator[Dialogue]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            yield _json_dialogue(line)
        except TooShort:
            continue
        except (ValueError, RecursionError) as error:
            damage.add(number, str(error))


def _json_dialogue(line: str) -> Dialogue:
    if not is_utf8(line):
        raise ValueError(NOT_UTF8)
    value: Any = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    missing = {"personas", "turns"} - value.keys()
    if missing:
        raise ValueError(f"no field {' and no '.join(sorted(missing))}")
    return dialogue_from(value["personas"], value["turns"], source=str(value.get("source", "")))


def _read_chitchat(path: Path) -> Iterator[Dialogue]:
    for conversation in json.loads(path.read_text(encoding="utf-8")).values():
        messages = [message for group in conversation["messages"] for message in group]
        turns = tuple(
            " ".join(text for item in group if (text := str(item["text"]).strip()))
            for _, group in groupby(messages, key=lambda message: message["sender"])
        )
        turns = tuple(turn for turn in turns if turn)
        if len(turns) > 1:
            yield Dialogue(CHITCHAT, ((), ()), turns)
