"""The order in which training sees its data: the same for the same seed, wherever it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from queue import Empty, Queue
from random import Random
from threading import Event, Thread
from typing import TypeVar

from inference.prompt import PromptRenderer, Turn
from training.data.dialogue import Damage, Dialogue
from training.data.packing import Batch, BatchShape, Example, add_candidates, pack
from training.data.persona import derive_persona
from training.data.readers import read_dialogues

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """Dialogues with how often an epoch shows each of them (0.5: a fresh half every epoch)."""

    dialogues: Sequence[Dialogue]
    repeat: float


def load_source(
    path: str, repeat: float, report: Callable[[str], None], *, damage_limit: int = 100
) -> Source:
    """Read a file's dialogues; what was damaged is reported, not fatal below the limit."""
    damage = Damage(path, damage_limit)
    dialogues = tuple(read_dialogues(path, damage))
    if damage.lines:
        report(str(damage))
    return Source(dialogues, repeat)


@dataclass(frozen=True, slots=True)
class Stream:
    """Endless batches over epochs. Both sides of a dialogue are the bot in turn; a fresh order of
    dialogues and of persona lines every epoch."""

    sources: Sequence[Source]
    renderer: PromptRenderer
    shape: BatchShape
    seed: int
    max_dialogue: int
    choice_share: float

    def batches(self, epoch: int = 0, skip: int = 0) -> Iterator[tuple[int, int, Batch]]:
        """(epoch, number in the epoch, batch), from batch `skip` of an epoch on."""
        while True:
            segments = add_candidates(
                self._examples(epoch),
                Random(f"{self.seed} candidates {epoch}"),
                self.shape,
                share=self.choice_share,
            )
            numbered = enumerate(pack(segments, self.shape))
            for number, batch in islice(numbered, skip, None):
                yield epoch, number, batch
            epoch, skip = epoch + 1, 0

    def _examples(self, epoch: int) -> Iterator[Example]:
        random = Random(f"{self.seed} order {epoch}")
        order = [
            (source, index, bot)
            for source, data in enumerate(self.sources)
            for index in range(len(data.dialogues))
            for bot in (0, 1)
            for _ in range(_times(data.repeat, random))
        ]
        random.shuffle(order)
        for source, index, bot in order:
            dialogue = derive_persona(self.sources[source].dialogues[index], random)
            lines = list(dialogue.personas[bot])
            random.shuffle(lines)
            limit = min(self.max_dialogue, self.shape.row_length)
            targets = min(limit, self.shape.targets_per_row)
            yield from encode(self.renderer, lines, dialogue.turns_for(bot), limit, targets)


def encode(
    renderer: PromptRenderer, lines: list[str], turns: list[Turn], limit: int, targets: int
) -> Iterator[Example]:
    """The dialogue as one example, or in halves where it is longer than `limit` tokens."""
    example = Example.from_mask(*renderer.render_dialogue(lines, turns))
    if len(example.ids) <= limit and 0 < example.targets <= targets:
        yield example
    elif len(turns) > 2:
        # An even cut keeps the same speaker first in both halves.
        middle = len(turns) // 4 * 2 or 2
        yield from encode(renderer, lines, turns[:middle], limit, targets)
        yield from encode(renderer, lines, turns[middle:], limit, targets)


def _times(repeat: float, random: Random) -> int:
    return int(repeat) + (random.random() < repeat % 1)


def common_words(dialogues: Iterable[Dialogue]) -> list[str]:
    """Words that are neither rare nor everywhere, for grammar dialogues to fill in."""
    counts = Counter(
        word
        for dialogue in dialogues
        for turn in dialogue.turns
        for word in turn.lower().split()
        if word.isascii() and word.isalpha() and len(word) > 2
    )
    return [word for word, count in counts.most_common(6500)[300:] if count > 3]


def prefetched(batches: Iterator[T], ahead: int = 8) -> Iterator[T]:
    """The same items, made by another thread up to `ahead` early; its errors are raised here."""
    ready: Queue[tuple[T | None, BaseException | None]] = Queue(ahead)
    stopped = Event()

    def work() -> None:
        try:
            for item in batches:
                if stopped.is_set():
                    return
                ready.put((item, None))
            ready.put((None, StopIteration()))
        except Exception as error:  # noqa: BLE001 - raised again where the items are used
            ready.put((None, error))

    Thread(target=work, daemon=True, name="batches").start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        with suppress(Empty):
            while True:
                ready.get_nowait()
