"""How probable a checkpoint finds given replies, computed in Keras: what graphs are held to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference.prompt import PromptRenderer, Turn
from training.checkpoints.directory import CHOICE_WEIGHT
from training.checkpoints.vocabulary import read_vocabulary
from training.data.examples import BatchShape, IntArray, Segment, segment
from training.data.packing import pack
from training.measure.scoring import FloatVector, ReplyNats, Scores, ranked_ids, scored_replies
from training.model import DialogueModel, load_weights, read_for_keras

# Room for one context and twenty candidates; a multiple that most fit in.
ROW_STEP = 512


class CheckpointScorer:
    """A checkpoint directory in Keras. `renderer` is that of its bundle.

    Raises CheckpointError for a checkpoint that a DialogueModel cannot be.
    """

    def __init__(self, directory: Path, renderer: PromptRenderer) -> None:
        checkpoint = read_for_keras(directory, read_vocabulary(directory))
        self.model = DialogueModel(checkpoint.config)
        load_weights(self.model, checkpoint.weights)
        self.model.compile(jit_compile=False)
        head = checkpoint.weights.get(CHOICE_WEIGHT)
        self.has_head = head is not None
        self.renderer = renderer
        self._alone = lru_cache(maxsize=4096)(self._alone_nats)

    def reply_nats(self, persona: Sequence[str], turns: Sequence[Turn]) -> ReplyNats:
        """As `BundleScorer.reply_nats`."""
        examples, words = scored_replies(self.renderer, persona, turns)
        nats = [self._nats(segment(example, example.replies[0], ())) for example in examples]
        return ReplyNats(float(sum(map(np.sum, nats))), sum(map(len, nats)), words)

    def rank(
        self, persona: Sequence[str], turns: Sequence[Turn], candidates: Sequence[str]
    ) -> Scores:
        """Scores of the candidates as the bot's next turn; all in one pass over the context."""
        spans = [ranked_ids(self.renderer, text) for text in candidates]
        longest = max(map(len, spans))
        prompt = self.renderer.render(persona, turns, reserve=longest)
        item = _branched(np.asarray(prompt.ids, np.int32), spans)
        logits, scores = self._run(item)
        nats = _negative_log(logits, item.target_ids)
        ends = np.cumsum([len(span) for span in spans])[:-1]
        return Scores(
            likelihood=np.array([-part.mean() for part in np.split(nats, ends)]),
            unconditional=np.array([-self._alone(text) for text in candidates]),
            head=scores[0, : len(spans)].astype(np.float64) if self.has_head else None,
        )

    def _alone_nats(self, text: str) -> float:
        prompt = self.renderer.render([], [], reserve=1)
        item = _branched(np.asarray(prompt.ids, np.int32), [ranked_ids(self.renderer, text)])
        return float(self._nats(item).mean())

    def _nats(self, item: Segment) -> FloatVector:
        return _negative_log(self._run(item)[0], item.target_ids)

    def _run(self, item: Segment) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Logits of the segment's targets, and choice scores; computed in rows of few lengths."""
        shape = BatchShape(
            rows=1,
            row_length=-(-len(item.ids) // ROW_STEP) * ROW_STEP,
            targets_per_row=-(-len(item.target_ids) // ROW_STEP) * ROW_STEP,
            choices_per_row=1,
            candidates=max(1, item.choice_index.shape[1]),
        )
        batch = next(pack([item], shape, fill=False))
        logits, scores = self.model.predict_on_batch(batch)
        return logits[: len(item.target_ids)], scores


def _branched(trunk: IntArray, branches: Sequence[IntArray]) -> Segment:
    """A segment whose branches all follow the trunk's end and are targets."""
    parts = [trunk, *branches]
    lengths = [len(part) for part in parts]
    starts = np.cumsum([0, *lengths])
    index, targets = [], []
    for start, part in zip(starts[1:], branches, strict=False):
        index.append(np.r_[len(trunk) - 1, np.arange(start, start + len(part) - 1)])
        targets.append(part)
    found, wanted = np.concatenate(index), np.concatenate(targets)
    return Segment(
        ids=np.concatenate(parts).astype(np.int32),
        positions=np.concatenate(
            [np.arange(len(trunk)), *(len(trunk) + np.arange(len(part)) for part in branches)]
        ).astype(np.int32),
        branches=np.repeat(np.arange(len(parts)), lengths).astype(np.int32),
        starts=np.repeat([0, *[len(trunk)] * len(branches)], lengths).astype(np.int32),
        target_index=found.astype(np.int32),
        target_ids=wanted.astype(np.int32),
        target_weight=np.ones(len(wanted), np.float32),
        reply_ends=np.zeros(0, np.int32),  # only filling rows asks for them
        choice_index=(starts[2:] - 1).reshape(1, -1).astype(np.int32),
    )


def _negative_log(logits: npt.NDArray[np.float32], ids: IntArray) -> FloatVector:
    values = logits.astype(np.float64)
    top = values.max(axis=1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(values - top).sum(axis=1))
    return np.asarray(total - values[np.arange(len(ids)), ids], np.float64)
