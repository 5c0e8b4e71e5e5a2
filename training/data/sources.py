"""What a run learns from: its files, and dialogues made by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from inference.prompt import PromptRenderer
from training.config import TrainConfig
from training.data.dialogue import Dialogue
from training.data.held_out import HeldOut
from training.data.readers import read_dialogues
from training.data.soft_targets import SoftTargets
from training.data.stream import Source
from training.data.tokens import TokenDialogues, read_tokens, tokens_key
from training.errors import DataError
from training.grammar.conversation import CHARACTER
from training.grammar.generator import grammar_dialogues

# Beside the runs of one folder, which share it.
CACHE = "tokens"


def load_sources(
    run: TrainConfig,
    renderer: PromptRenderer,
    characters: Sequence[Sequence[str]],
    report: Callable[[str], None],
    soft_targets: SoftTargets | None = None,
) -> list[Source]:
    """The run's files and its grammar dialogues, as tokens, and what a teacher has read of them.
    Raises DataError."""
    cache = run.out.parent / CACHE
    sources = [
        Source(read_tokens(path, renderer, cache, report), repeat) for path, repeat in run.data
    ]
    if soft_targets:
        keys = [tokens_key(path, renderer) for path, _ in run.data]
        sources = _taught(run, sources, [soft_targets.rows_of(key) for key in keys], report)
    if run.grammar:
        made = made_dialogues(run, characters)
        sources.append(Source(TokenDialogues.of(made, renderer), 1.0, bots=(CHARACTER,)))
    return sources


def _taught(
    run: TrainConfig,
    sources: Sequence[Source],
    read: Sequence[Mapping[int, int]],
    report: Callable[[str], None],
) -> list[Source]:
    """The files' sources with what a teacher has `read` of each. Raises DataError."""
    if not any(read):
        raise DataError(
            f"{run.soft_targets}: holds nothing that a teacher said of this data; give ask_teacher "
            "the same --data, and as --checkpoint what this run starts from."
        )
    for (path, _), source, rows in zip(run.data, sources, read, strict=True):
        if rows:
            report(f"{path}: {len(rows)} of {len(source.dialogues)} dialogues, read by a teacher")
        else:
            report(f"{path}: no teacher has read any of it, so all of it is learnt without one")
    return [replace(source, first_rows=rows) for source, rows in zip(sources, read, strict=True)]


def made_dialogues(run: TrainConfig, characters: Sequence[Sequence[str]]) -> Iterator[Dialogue]:
    """The run's grammar dialogues, made of its files' personas and words, and of characters; none
    that it is measured with. Raises DataError."""
    held_out = HeldOut.of_file(run.validation)
    characters = [lines for lines in characters if not held_out.knows(lines)]
    personas: list[Sequence[str]] = []
    counts: Counter[str] = Counter()
    for path, _ in run.data:
        for dialogue in read_dialogues(path):
            personas += [p for p in dialogue.personas if p and not held_out.knows(p)]
            counts.update(word for turn in dialogue.turns for word in turn.lower().split())
    return grammar_dialogues(
        run.grammar, seed=run.seed, pools=[personas, characters], words=words_to_copy(counts)
    )


def words_to_copy(counts: Counter[str]) -> list[str]:
    """Words for grammar dialogues to fill in: neither everywhere nor seen only by accident.

    Two of three are rare enough to be several tokens, as most names are: to say such a word, each
    of its tokens must be read off the persona, where the first alone may be a lucky guess.
    """
    words = [w for w, _ in counts.most_common() if w.isascii() and w.isalpha() and len(w) > 2]
    return [word for word in words[300:20_000] if counts[word] > 2]
