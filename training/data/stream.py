"""The order in which training sees its data: the same for the same seed, wherever it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from random import Random

import numpy as np

from inference.prompt import PromptRenderer, Speaker, Tokens
from training.data.examples import BatchShape, Example, IntArray, add_candidates
from training.data.packing import Batch, pack
from training.data.soft_targets import SoftTargets
from training.data.tokens import TokenDialogues
from training.errors import DataError

# A dialogue as (source, its number there, speaker who is the bot).
Place = tuple[int, int, int]
# Examples that are drawn from, so that pieces of one dialogue end up in different batches.
SPREAD = 2048


@dataclass(frozen=True, slots=True)
class Source:
    """Dialogues with how often an epoch shows each of them (0.5: a fresh half every epoch), and
    the speakers (0 and 1) who are the bot in turn. `first_rows` says which of them a teacher has
    read, and where its draws for them begin: the others are not shown then."""

    dialogues: TokenDialogues
    repeat: float
    bots: Sequence[int] = (0, 1)
    first_rows: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """Endless batches over epochs, with a fresh order of dialogues and of persona lines in each. A
    dialogue of more than `window` tokens is cut."""

    sources: Sequence[Source]
    renderer: PromptRenderer
    shape: BatchShape
    seed: int
    window: int
    choice_share: float
    person_coef: float = 0.0
    soft_targets: SoftTargets | None = None

    def batches(self, epoch: int = 0, skip: int = 0) -> Iterator[tuple[int, int, Batch]]:
        """(epoch, number in the epoch, batch), from batch `skip` of an epoch on; an epoch that
        happens to draw nothing that fits has none. Raises DataError when no dialogue fits."""
        while True:
            segments = add_candidates(
                _spread(self._drawn(epoch), Random(f"{self.seed} spread {epoch}")),
                Random(f"{self.seed} candidates {epoch}"),
                self.shape,
                share=self.choice_share,
                window=self.window,
            )
            number = -1
            for number, batch in enumerate(pack(segments, self.shape)):
                if number >= skip:
                    yield epoch, number, batch
            if number < 0 and not self._anything_fits():
                raise DataError(
                    f"No dialogue fits {self.window} tokens of which {self.shape.targets_per_row} "
                    "are learnt: raise max_dialogue, row_length or target_share."
                )
            epoch, skip = epoch + 1, 0

    def _drawn(self, epoch: int) -> Iterator[Example]:
        """What an epoch shows, in its order."""
        random = Random(f"{self.seed} order {epoch}")
        order = [
            place
            for place in self._places()
            for _ in range(_times(self.sources[place[0]].repeat, random))
        ]
        random.shuffle(order)
        return self._examples(order, random)

    def _anything_fits(self) -> bool:
        """Whether some dialogue can be learnt from, drawn or not."""
        return any(True for _ in self._examples(self._places(), Random(0)))

    def _places(self) -> Iterator[Place]:
        """Every dialogue, with each speaker who is the bot in turn."""
        for source, data in enumerate(self.sources):
            for index in sorted(data.first_rows) or range(len(data.dialogues)):
                yield from ((source, index, bot) for bot in data.bots)

    def _examples(self, order: Iterable[Place], random: Random) -> Iterator[Example]:
        limits = (self.window, self.shape.targets_per_row)
        for source, index, bot in order:
            dialogue = self.sources[source].dialogues[index]
            lines = dialogue.personas[bot]
            random.shuffle(lines)
            turns = dialogue.turns_for(bot)
            rows = _rows(dialogue.turns, self.sources[source].first_rows.get(index))
            for example in encode(self.renderer, lines, turns, *limits, self.person_coef, rows):
                yield replace(example, source=source, drawn=self._taught(example))

    def _taught(self, example: Example) -> IntArray | None:
        """What a teacher drew for the example's tokens; a turn's end is the mark that ended it."""
        if self.soft_targets is None or example.rows is None:
            return None
        special = self.renderer.special_tokens
        marks = np.flatnonzero(np.isin(example.ids, (special.person, special.bot, special.end)))
        following = marks[np.searchsorted(marks, np.arange(len(example.ids)))]
        return self.soft_targets.drawn(example.rows, example.ids[following])


def encode(
    renderer: PromptRenderer,
    lines: Sequence[Tokens],
    turns: Sequence[tuple[Speaker, Tokens]],
    limit: int,
    targets: int,
    person_coef: float = 0.0,
    rows: Sequence[Sequence[int]] = (),
) -> Iterator[Example]:
    """The dialogue as one example, or in halves where it has more tokens than `limit` or more to
    learn than `targets`. `rows` are those of each turn's tokens among a teacher's draws."""
    ids, mask = renderer.render_tokens(lines, turns)
    # The mark of the first turn is always given.
    spoken_from = renderer.head_length(lines) + 1
    example = Example.from_mask(ids, mask, spoken_from=spoken_from, person_coef=person_coef)
    if rows:
        example = replace(example, rows=_rendered(renderer, lines, turns, rows))
    if len(example.ids) <= limit and example.replies and example.targets <= targets:
        yield example
    elif len(turns) > 2:
        # An even cut keeps the same speaker first in both halves.
        middle = len(turns) // 4 * 2 or 2
        for half in (slice(middle), slice(middle, None)):
            yield from encode(renderer, lines, turns[half], limit, targets, person_coef, rows[half])


def _rows(turns: Sequence[Tokens], first: int | None) -> list[range]:
    """The rows of each turn's tokens; the one after them is that of its end."""
    if first is None:
        return []
    starts = accumulate((len(turn) + 1 for turn in turns), initial=first)
    return [range(start, start + len(turn)) for start, turn in zip(starts, turns, strict=False)]


def _rendered(
    renderer: PromptRenderer,
    lines: Sequence[Tokens],
    turns: Sequence[tuple[Speaker, Tokens]],
    rows: Sequence[Sequence[int]],
) -> IntArray:
    """For each token of the rendered dialogue its row, 0 where it has none. Rows are rendered in
    the tokens' place, as numbers below those of all tokens; the mark behind a turn is its end."""
    spoken = [
        (speaker, [-row for row in turn]) for (speaker, _), turn in zip(turns, rows, strict=False)
    ]
    ids, _ = renderer.render_tokens(lines, spoken)
    found = np.maximum(0, -np.asarray(ids, np.int32))
    ends = 1 + np.flatnonzero((found[1:] == 0) & (found[:-1] > 0))
    found[ends] = found[ends - 1] + 1
    return found


def _spread(examples: Iterable[Example], random: Random) -> Iterator[Example]:
    """The same examples in another order: the pieces of a long dialogue, which come one after the
    other, would make up a whole batch."""
    waiting: list[Example] = []
    for example in examples:
        waiting.append(example)
        if len(waiting) == SPREAD:
            yield waiting.pop(random.randrange(SPREAD))
    random.shuffle(waiting)
    yield from waiting


def _times(repeat: float, random: Random) -> int:
    return int(repeat) + (random.random() < repeat % 1)
