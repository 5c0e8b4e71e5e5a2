"""A dialogue as the teacher reads it, and the places in it where the teacher can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.prompt import PromptRenderer, tidy
from training.data.dialogue import Dialogue

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPEAKERS = ("A", "B")
SCENE = "\nA and B meet for the first time and chat.\n\n"


@dataclass(slots=True)
class Transcript:
    """`ids` are the teacher's tokens, `spoken` says which of them somebody says.

    The teacher is asked after `places` (indexes of `ids`) for what stands in `rows`. A dialogue's
    rows are, turn after turn, our tokens of the turn and one for its end: `lengths` rows a turn.
    """

    ids: list[int]
    spoken: list[bool]
    places: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    def cut(self, limit: int) -> Transcript:
        """The first `limit` tokens; what stands behind them is not asked."""
        asked = sum(place < limit - 1 for place in self.places)
        return Transcript(
            self.ids[:limit],
            self.spoken[:limit],
            self.places[:asked],
            self.rows[:asked],
            self.lengths,
        )


@dataclass(frozen=True, slots=True)
class Scribe:
    """Writes transcripts in natural case, as the teacher has read most of its texts; `renderer` is
    the pupil's. `start` is the token that the teacher's texts begin with."""

    tokenizer: Tokenizer
    renderer: PromptRenderer
    start: int

    def transcript(self, dialogue: Dialogue) -> Transcript:
        """Who the two are, then what they say, a line each."""
        head = self._encode(self._head(dialogue))
        written = Transcript([self.start, *head], [False] * (1 + len(head)))
        for number, turn in enumerate(dialogue.turns):
            mark = self._encode(f"{SPEAKERS[number % 2]}:")
            written.ids += mark
            written.spoken += [False] * len(mark)
            self._write_turn(written, tidy(turn))
        return written

    def _head(self, dialogue: Dialogue) -> str:
        about = [
            f"About {name}: {' '.join(map(tidy, lines))}\n"
            for name, lines in zip(SPEAKERS, dialogue.personas, strict=True)
            if lines
        ]
        return "".join(about) + SCENE

    def _write_turn(self, written: Transcript, text: str) -> None:
        start, first_row = len(written.ids), sum(written.lengths)
        theirs = self.tokenizer.encode(f" {text}", add_special_tokens=False)
        line = [*theirs.ids, *self._encode("\n")]
        written.ids += line
        written.spoken += [True] * len(line)
        ours = self.renderer.encode(text)
        written.lengths.append(len(ours) + 1)
        spelt = self.renderer.normalize(text)
        again = self.renderer.tokenizer.encode(f" {spelt}", add_special_tokens=False)
        # A text whose length its lower case changes, or that is too long to be encoded whole.
        if len(spelt) != len(text) or list(again.ids) != list(ours):
            return
        begins = _boundaries(theirs.offsets)
        for place, number in _boundaries(again.offsets).items():
            if place in begins:
                written.places.append(start + begins[place] - 1)
                written.rows.append(first_row + number)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _boundaries(offsets: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Where tokens end in the text: how many tokens end there or before. (Where they begin differs:
    some tokenizers count the space before a word to it, some do not.)"""
    return {0: 0} | {end: number for number, (_, end) in enumerate(offsets, start=1)}
