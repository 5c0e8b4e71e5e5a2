"""Dialogues as token ids: encoded once, kept on disk, and read from there a dialogue at a time.

A cache directory holds tokens.npy (every text's ids, end to end), ends.npy (where each text ends),
dialogues.npy (for each dialogue its first text, how many lines each persona and how many turns it
has, and the turn in which somebody takes leave) and what was damaged in the file. It is named after
the data, the tokenizer and the layout: a change of any of them makes another one, and all can be
deleted at any time.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

from inference.prompt import PromptRenderer, Speaker, Tokens
from training.data.dialogue import Damage, Dialogue, speaker_of
from training.data.farewell import NOBODY, first_farewell
from training.data.persona import derive_persona
from training.data.readers import data_file, read_dialogues
from training.errors import DataError
from training.whole import whole_directory

# Counts changes of what is written here, of what readers make of a file, of the renderer's encoding
# and of derived personas.
FORMAT = 6
DAMAGE_FILE = "damage.txt"


@dataclass(frozen=True, slots=True)
class TokenDialogue:
    """A Dialogue whose texts are encoded; in turn `leaves` somebody takes leave (-1: nobody)."""

    personas: tuple[list[Tokens], list[Tokens]]
    turns: list[Tokens]
    leaves: int

    @classmethod
    def of(cls, dialogue: Dialogue, renderer: PromptRenderer) -> TokenDialogue:
        first, second = ([renderer.encode(line) for line in lines] for lines in dialogue.personas)
        turns = [renderer.encode(turn) for turn in dialogue.turns]
        return cls((first, second), turns, first_farewell(dialogue.turns))

    def turns_for(self, bot: int) -> list[tuple[Speaker, Tokens]]:
        """The turns with speaker `bot` (0 or 1) as the bot, who never is the first to take leave:
        it is there as long as somebody wants to talk to it."""
        leaves_first = self.leaves != NOBODY and speaker_of(self.leaves, bot) == "bot"
        turns = self.turns[: self.leaves] if leaves_first else self.turns
        return [(speaker_of(index, bot), ids) for index, ids in enumerate(turns)]


@dataclass(frozen=True, slots=True)
class TokenDialogues:
    """Many dialogues in three arrays, which may be files mapped into memory.

    `tokens` (tokens,), `ends` (texts,), `dialogues` (dialogues, 5).
    """

    tokens: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    dialogues: npt.NDArray[np.int64]

    @classmethod
    def of(cls, dialogues: Iterable[Dialogue], renderer: PromptRenderer) -> TokenDialogues:
        """Encode; speakers without a persona get one of what they say about themself."""
        tokens, ends, rows = array("i"), array("q"), array("q")
        for number, dialogue in enumerate(dialogues):
            encoded = TokenDialogue.of(derive_persona(dialogue, Random(number)), renderer)
            first, second = encoded.personas
            rows.extend((len(ends), len(first), len(second), len(encoded.turns), encoded.leaves))
            for ids in (*first, *second, *encoded.turns):
                tokens.extend(ids)
                ends.append(len(tokens))
        return cls(
            np.frombuffer(tokens, np.int32),
            np.frombuffer(ends, np.int64),
            np.frombuffer(rows, np.int64).reshape(-1, 5),
        )

    @classmethod
    def open(cls, directory: Path) -> TokenDialogues:
        """What `save` wrote, mapped into memory. Raises OSError, and of what is damaged EOFError or
        ValueError."""
        return cls(*(np.load(directory / f"{name}.npy", mmap_mode="r") for name in cls.__slots__))

    def save(self, directory: Path) -> None:
        """Write the three arrays. Raises OSError."""
        for name in self.__slots__:
            np.save(directory / f"{name}.npy", getattr(self, name))

    def __len__(self) -> int:
        return len(self.dialogues)

    def __getitem__(self, index: int) -> TokenDialogue:
        start, first, second, turns, leaves = self.dialogues[index].tolist()
        texts = [self._text(start + number) for number in range(first + second + turns)]
        personas = (texts[:first], texts[first : first + second])
        return TokenDialogue(personas, texts[first + second :], leaves)

    def _text(self, number: int) -> Tokens:
        start = self.ends[number - 1] if number else 0
        ids: list[int] = self.tokens[start : self.ends[number]].tolist()
        return ids


def read_tokens(
    path: str,
    renderer: PromptRenderer,
    cache: Path,
    report: Callable[[str], None],
) -> TokenDialogues:
    """A file's dialogues, encoded now or at an earlier time; `report` is told what was damaged.

    Raises DataError when the file cannot be read, or the cache not be written or read.
    """
    directory = cache / tokens_key(path, renderer)
    try:
        if not directory.exists():
            damage = Damage(path)
            found = TokenDialogues.of(read_dialogues(path, damage), renderer)
            _write(directory, found, str(damage) if damage.lines else "")
    except OSError as error:
        raise DataError(f"{directory}: the tokens of {path} cannot be kept ({error}).") from error
    try:
        if damaged := (directory / DAMAGE_FILE).read_text(encoding="utf-8"):
            report(damaged)
        return TokenDialogues.open(directory)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{directory}: cannot be read ({error}); delete it.") from error


def _write(directory: Path, found: TokenDialogues, damaged: str) -> None:
    try:
        with whole_directory(directory) as fresh:
            found.save(fresh)
            (fresh / DAMAGE_FILE).write_text(damaged, encoding="utf-8")
    except OSError:
        # Another run that shares the cache was faster; its tokens are the same.
        if not directory.exists():
            raise


def tokens_key(path: str, renderer: PromptRenderer) -> str:
    """A name from everything that decides the tokens. Raises DataError."""
    # The name's ending decides how the file is read.
    digest = hashlib.sha256(f"{FORMAT} {renderer.lowercase} {Path(path).name}".encode())
    digest.update(renderer.tokenizer.to_str().encode())
    try:
        with data_file(path).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    return f"{Path(path).name}-{digest.hexdigest()[:16]}"
