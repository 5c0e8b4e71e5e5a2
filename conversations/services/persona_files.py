"""Characters in files of other makers, read piece by piece.

Three formats, each also gzipped:

- `personachat`: PersonaChat as Hugging Face preprocessed it, one JSON document
  `{"train": [{"personality": [...], "utterances": [...]}, ...], "valid": [...]}`, 200 MB of it
  (https://github.com/huggingface/transfer-learning-conv-ai);
- `parlai`: numbered lines with `your persona: ...` and `partner's persona: ...`, as ParlAI
  distributes PersonaChat and ConvAI2 (https://github.com/facebookresearch/ParlAI);
- `dialogues`: this project's JSON lines `{"personas": [[...], [...]], "turns": [...]}`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from conversations.services.persona_formats import READERS, Entry, UnreadableDocument
from conversations.services.persona_text import LinesDamaged, persona_tidy
from conversations.services.unzipping import UNREADABLE, Stream, unzipped

HEAD_BYTES = 65_536
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class PersonaFileError(ValueError):
    """A file that cannot be imported; the message says what is wrong and how to mend it."""


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A place that was left out: "line 12" or "train[4]", and what is wrong there."""

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


class PersonaFile:
    """Iterates over the lines of each character in a file; used as a context manager.

    `format` is one of READERS, `damaged` what was left out so far, `position` how many bytes of
    the file have been read. Raises PersonaFileError.
    """

    def __init__(self, path: Path, *, file_format: str | None = None, max_errors: int) -> None:
        self.path = path
        self.max_errors = max_errors
        self.damaged: list[DamagedLine] = []
        self._stream = self._open()
        try:
            head = self._head()
            self.format = file_format or self._detect(head)
        except BaseException:
            self._raw.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._raw.close()

    @property
    def position(self) -> int:
        return self._raw.tell()

    def __iter__(self) -> Iterator[list[str]]:
        found = False
        for place, lines, problem in self._entries():
            if problem:
                self._note(place, problem)
                continue
            try:
                tidied = persona_tidy(lines=lines)
            except LinesDamaged as error:
                self._note(place, str(error))
                continue
            found = True
            yield tidied
        if not found:
            raise PersonaFileError(self._nothing_found())

    def _entries(self) -> Iterator[Entry]:
        try:
            yield from READERS[self.format](self._stream)
        except UnreadableDocument as error:
            raise PersonaFileError(f"{self.path}: {error}") from error
        except UNREADABLE as error:
            raise PersonaFileError(f"{self.path}: cannot be read to its end ({error}).") from error

    def _note(self, place: str, problem: str) -> None:
        self.damaged.append(DamagedLine(place, problem))
        if len(self.damaged) > self.max_errors:
            raise PersonaFileError(
                f"{self.path}: more than {self.max_errors} damaged places (--max-errors), nothing "
                f"was added; the first is {self.damaged[0]}"
            )

    def _nothing_found(self) -> str:
        message = f"{self.path}: no characters found in it, read as {self.format}."
        if self.damaged:
            message += f" {len(self.damaged)} places are damaged; the first is {self.damaged[0]}"
        return message

    def _open(self) -> Stream:
        try:
            self._raw = self.path.open("rb")
        except FileNotFoundError as error:
            raise PersonaFileError(f"{self.path}: there is no such file.") from error
        except IsADirectoryError as error:
            raise PersonaFileError(f"{self.path}: is a directory; name a file in it.") from error
        except OSError as error:
            raise PersonaFileError(f"{self.path}: cannot be opened ({error.strerror}).") from error
        return unzipped(self._raw)

    def _detect(self, head: bytes) -> str:
        """The format by what the file begins with."""
        text = head.decode("utf-8-sig", errors="ignore")
        if re.search(r"^\d+ .*persona:", text, re.MULTILINE):
            return "parlai"
        keys = re.search(r'"(personality|personas)"\s*:', text)
        if keys and text.lstrip()[0] in "{[":
            return "personachat" if keys[1] == "personality" else "dialogues"
        raise PersonaFileError(
            f"{self.path}: the format is not recognised. Known are PersonaChat's JSON "
            f'("personality"), ParlAI\'s text ("1 your persona: ...") and dialogues as JSON lines '
            f'("personas"); --format {"|".join(READERS)} reads it as one of them.'
        )

    def _head(self) -> bytes:
        """The beginning of the file; afterwards the stream stands where its text begins."""
        try:
            head = self._stream.read(HEAD_BYTES)
        except UNREADABLE as error:
            raise PersonaFileError(f"{self.path}: is not a whole gzip file ({error}).") from error
        if head.startswith(_UTF_16):
            raise PersonaFileError(f"{self.path}: is UTF-16, not UTF-8. Save it as UTF-8.")
        if not head.strip():
            raise PersonaFileError(f"{self.path}: is empty.")
        marked = head.startswith(codecs.BOM_UTF8)
        self._stream.seek(len(codecs.BOM_UTF8) if marked else 0)
        return head
