"""Replies of a model in training to the same few prompts, to see how it gets on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from keras import ops

from inference.bundle import SpecialTokens
from inference.errors import PromptTooLong
from inference.prompt import PromptRenderer, Turn
from training.model import DialogueModel

MAX_TOKENS = 24
ROW_STEP = 64
PERSONA = ("I have two dogs.", "I am a nurse.", "I live in Ohio.", "My favorite food is pizza.")
QUESTIONS = (
    "Hi, how are you?",
    "Do you have any pets?",
    "What do you do for a living?",
    "I went to a concert last night!",
)


def sample_replies(
    model: DialogueModel, renderer: PromptRenderer, special: SpecialTokens
) -> list[tuple[str, str]]:
    """(question, most probable reply) for each fixed question, asked of one fixed persona; none
    of a model that has no room for it."""
    replies = []
    for question in QUESTIONS:
        turns = [Turn("person", question)]
        try:
            prompt = renderer.render(PERSONA, turns, reserve=MAX_TOKENS)
        except PromptTooLong:
            return []
        ids = _continue(model, list(prompt.ids), {special.person, special.end})
        text = renderer.tokenizer.decode(ids, skip_special_tokens=True)
        replies.append((question, text.strip()))
    return replies


def _continue(model: DialogueModel, ids: list[int], stops: set[int]) -> list[int]:
    """The most probable token, again and again; every step computes the whole row anew."""
    start = len(ids)
    while len(ids) - start < MAX_TOKENS:
        token = int(np.argmax(_next_logits(model, ids)))
        if token in stops:
            break
        ids.append(token)
    return ids[start:]


def _next_logits(model: DialogueModel, ids: Sequence[int]) -> npt.NDArray[np.float32]:
    # Few row lengths, so that a backend that compiles by shape does not do so at every token.
    length = -(-len(ids) // ROW_STEP) * ROW_STEP
    row = np.zeros((1, length), np.int32)
    row[0, : len(ids)] = ids
    zeros = np.zeros_like(row)
    batch = {
        "ids": row,
        "positions": np.minimum(np.arange(length, dtype=np.int32), model.config.n_ctx - 1)[None],
        "segments": (np.arange(length) < len(ids)).astype(np.int32)[None],
        "branches": zeros,
        "starts": zeros,
        "target_index": np.array([len(ids) - 1], np.int32),
        "choice_index": np.zeros((1, 1), np.int32),
    }
    logits, _ = model(batch, training=False)
    return np.asarray(ops.convert_to_numpy(logits[0]), np.float32)
