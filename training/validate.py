"""Perplexity on held-out dialogues during training; `training.measure.figures` has the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from inference.prompt import PromptRenderer
from training.config import TrainConfig
from training.data.examples import BatchShape, Example, add_candidates
from training.data.packing import Batch, pack
from training.data.readers import VALID, read_reported
from training.data.stream import encode
from training.data.tokens import TokenDialogue
from training.errors import DataError
from training.measure.metrics import count_words, perplexity
from training.objective import Trainee


@dataclass(frozen=True, slots=True)
class Validation:
    """The same batches at every evaluation; `words` counts the words of all true replies."""

    batches: Sequence[Batch]
    words: int

    @classmethod
    def from_file(
        cls, path: Path, renderer: PromptRenderer, run: TrainConfig, report: Callable[[str], None]
    ) -> Validation:
        """The bot's replies in the first `evaluate_dialogues` dialogues of a file; `report` is
        told what was damaged in it.

        Dialogues longer than the run's are cut as they are in training: what a model makes of
        positions that it is never trained on says nothing of how it is served. Nor do replies count
        from the one on with which the bot is the first to take leave, which are not learnt either.
        A dialogue with a reply that fits nowhere is left out. Raises DataError.
        """
        dialogues = read_reported(path, report, split=VALID, limit=run.evaluate_dialogues)
        shape = validation_shape(run)
        examples: list[Example] = []
        words = said = 0
        for dialogue in dialogues:
            tokens = TokenDialogue.of(dialogue, renderer)
            lines, turns = tokens.personas[dialogue.bot], tokens.turns_for(dialogue.bot)
            replies = dialogue.replies[: sum(speaker == "bot" for speaker, _ in turns)]
            said += len(replies)
            found = list(encode(renderer, lines, turns, run.window, shape.targets_per_row))
            if sum(len(example.replies) for example in found) == len(replies):
                examples += found
                words += count_words(replies)
        if not said:
            raise DataError(f"{path}: the bot says nothing before it takes leave; use other data.")
        if not examples:
            raise DataError(
                f"{path}: no dialogue fits {run.window} tokens; raise max_dialogue and row_length."
            )
        segments = add_candidates(
            examples, Random("validation"), shape, share=1.0, window=run.window
        )
        return cls(tuple(pack(segments, shape, fill=False)), words)

    def figures(self, model: Trainee) -> dict[str, float]:
        """ppl_token and ppl_word; with a second task, `chosen`: how often the true reply wins."""
        nats = chosen = tokens = choices = 0.0
        for batch in self.batches:
            logs = model.test_on_batch(batch, return_dict=True)
            count, groups = float(batch["target_weight"].sum()), float(batch["choice_weight"].sum())
            nats, tokens = nats + float(logs["lm"]) * count, tokens + count
            chosen, choices = chosen + float(logs.get("chosen", 0)) * groups, choices + groups
        figures = {
            "ppl_token": perplexity(nats, int(tokens)),
            "ppl_word": perplexity(nats, self.words),
        }
        return figures | ({"chosen": chosen / choices} if choices else {})


def validation_shape(run: TrainConfig) -> BatchShape:
    """A training batch in which all that is learnt has room, and a choice every 64 tokens."""
    return replace(
        run.shape,
        targets_per_row=int(run.row_length * 0.75),
        choices_per_row=max(1, run.row_length // 64),
    )
