"""Draws the next token of every running reply at once, from the candidates the graph returns.

Rows are slots of the batch. All memory is taken when the sampler is made; a step touches arrays of
(B, 64) and never the vocabulary.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.params import SamplingParams

_NEVER = np.float32(-1e30)


class Sampler:
    """Sampling state of up to `rows` replies over a vocabulary of `vocab_size` tokens.

    `stops` are the tokens that end a reply; `banned` those that are never drawn.
    """

    def __init__(
        self, *, rows: int, vocab_size: int, n_ctx: int, stops: Iterable[int], banned: Iterable[int]
    ) -> None:
        self._temperature = np.ones((rows, 1), np.float32)
        self._greedy = np.zeros(rows, np.bool_)
        self._top_k = np.ones((rows, 1), np.int64)
        self._top_p = np.ones((rows, 1), np.float32)
        self._log_penalty = np.zeros((rows, 1), np.float32)
        self._seen = np.zeros((rows, vocab_size), np.bool_)
        self._uniforms = np.zeros((rows, n_ctx), np.float32)
        self._drawn = np.zeros(rows, np.int64)
        self._is_stop = np.zeros(vocab_size, np.bool_)
        self._is_stop[list(stops)] = True
        self._is_banned = np.zeros(vocab_size, np.bool_)
        self._is_banned[list(banned)] = True
        self._is_special = self._is_stop | self._is_banned
        self._rows = np.arange(rows)
        self._column = self._rows[:, None]

    def start(self, row: int, params: SamplingParams, recent: Sequence[int]) -> None:
        """Begin a reply in a row. `recent` are tokens that count as said already."""
        self._greedy[row] = params.temperature == 0
        self._temperature[row] = params.temperature or 1
        self._top_k[row] = params.top_k
        self._top_p[row] = params.top_p
        self._log_penalty[row] = np.log(params.repetition_penalty)
        self._seen[row] = False
        self._seen[row, list(recent)] = True
        # Drawn beforehand and for this reply alone: its draws do not depend on who else runs.
        generator = np.random.Generator(np.random.PCG64(params.seed))
        self._uniforms[row, : params.max_tokens] = generator.random(
            min(params.max_tokens, self._uniforms.shape[1]), np.float32
        )
        self._drawn[row] = 0

    def move(self, source: int, target: int) -> None:
        """A reply has moved to another slot."""
        for state in (
            *(self._temperature, self._greedy, self._top_k, self._top_p, self._log_penalty),
            *(self._seen, self._uniforms, self._drawn),
        ):
            state[target] = state[source]

    def sample(
        self, values: npt.NDArray[np.float32], ids: npt.NDArray[np.int64], first_row: int = 0
    ) -> npt.NDArray[np.int64]:
        """One token for each of the rows first_row.. from (B, K) logits, in falling order.

        A reply's first token is never a stop. In this order: repetition penalty, temperature,
        top-k, top-p. The penalty divides the probability of a token that was said already, which,
        unlike the division of logits in CTRL (Keskar et al. 2019), does not depend on where the
        logits' zero lies.
        """
        batch = len(values)
        rows = slice(first_row, first_row + batch)
        index = self._rows[rows]
        drawn = self._drawn[rows]
        special = self._is_special[ids]
        logits = (values - values[:, :1]) - self._log_penalty[rows] * (
            self._seen[index[:, None], ids] & ~special
        )
        forbidden = self._is_banned[ids] | (self._is_stop[ids] & (drawn == 0)[:, None])
        logits[forbidden] = _NEVER
        logits /= self._temperature[rows]
        order = np.argsort(-logits, axis=1, kind="stable")
        logits = np.take_along_axis(logits, order, axis=1)
        weights = np.exp(logits - logits[:, :1])
        weights[np.arange(weights.shape[1]) >= self._top_k[rows]] = 0
        total = np.cumsum(weights, axis=1)
        # Kept while what came before has not reached top_p; the first always is.
        kept = np.where(total - weights < self._top_p[rows] * total[:, -1:], total, 0)
        limit = kept.max(axis=1)
        wanted = self._uniforms[index, drawn] * limit
        choice = np.argmax(total > wanted[:, None], axis=1)
        choice[self._greedy[rows]] = 0
        tokens: npt.NDArray[Any] = ids[self._rows[:batch], order[self._rows[:batch], choice]]
        self._drawn[rows] += 1
        self._seen[index, tokens] = True
        return tokens


def resolve_seed(params: SamplingParams) -> int:
    """The seed to use: the one asked for, or a fresh one."""
    return params.seed if params.seed is not None else secrets.randbits(31)
