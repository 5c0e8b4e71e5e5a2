"""Draws the next token of every running reply at once, from the candidates the graph returns.

Rows are slots of the batch. All memory of any size is taken when the sampler is made; a step works
on arrays of (B, K), the K = 64 most probable candidates of each reply, never on the vocabulary.

The order is: repetition penalty, temperature, top-k (Fan et al. 2018), top-p (Holtzman et al.
2020). The penalty is CTRL's (Keskar et al. 2019), with one change: CTRL divides logits, which
depends on where their zero lies, and that is arbitrary, since adding a constant to all logits
changes no probability. Here logits are measured from one below the lowest candidate, so that the
same penalty does the same to every model. It spares what has to be said again and again
(`repetition.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.copying import NO_COPIES, Copies
from inference.params import SamplingParams

_BANNED = -1e30


def log_likelihoods(
    values: npt.NDArray[np.float32], ids: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """How likely the model finds the `drawn` tokens (B) among its candidates (B, K), in nats.

    Neither temperature nor penalties count; what is not among the candidates counts as impossible,
    and one that was copied all the same as the least likely of them.
    """
    total = np.log(np.exp(values - values[:, :1]).sum(axis=1)) + values[:, 0]
    is_drawn = ids == drawn[:, None]
    place = np.where(is_drawn.any(axis=1), is_drawn.argmax(axis=1), -1)
    chosen: npt.NDArray[np.float32] = values[np.arange(len(values)), place] - total
    return chosen


class Sampler:
    """Sampling state of up to `rows` replies over `vocab_size` tokens, `candidates` at a time.

    `never` are tokens that are never drawn, `not_first` those that cannot be before a reply shows
    anything: the ends of a turn and white space. `spared` may be said again without penalty;
    `inner` go on with a word.
    """

    def __init__(
        self,
        *,
        rows: int,
        vocab_size: int,
        candidates: int,
        never: Iterable[int] = (),
        not_first: Iterable[int] = (),
        spared: Iterable[int] = (),
        inner: Iterable[int] = (),
    ) -> None:
        shape = (rows, candidates)
        self._never = np.fromiter(never, np.int64)
        self._not_first = np.fromiter(not_first, np.int64)
        self._is_spared = np.zeros(vocab_size, np.bool_)
        self._is_spared[np.fromiter(spared, np.int64)] = True
        self._is_inner = np.zeros(vocab_size, np.bool_)
        self._is_inner[np.fromiter(inner, np.int64)] = True
        # What multiplies a candidate's logit: 1 / temperature, and less for what was said already.
        self._factors = np.ones((rows, vocab_size), np.float32)
        self._fresh = np.ones(rows, np.float32)
        self._said = np.ones(rows, np.float32)
        self._in_top_k = np.ones(shape, np.float32)
        self._top_p = np.ones(rows, np.float32)
        self._copies: dict[int, Copies] = {}
        self._row_starts = (np.arange(rows) * vocab_size)[:, None]
        self._lane_starts = np.arange(rows) * candidates
        self._index = np.zeros(shape, np.int64)
        self._depth = np.zeros(shape, np.float32)
        self._weights = np.zeros(shape, np.float32)
        self._mass = np.zeros(shape, np.float32)
        self._below = np.zeros(shape, np.bool_)
        self._flat_factors, self._flat_depth = self._factors.reshape(-1), self._depth.reshape(-1)

    def start(self, row: int, params: SamplingParams, said: Sequence[int]) -> None:
        """Begin a reply in a row; the tokens `said` count as said already, unless spared."""
        greedy = params.temperature == 0
        self._fresh[row] = 1.0 if greedy else 1.0 / params.temperature
        self._said[row] = self._fresh[row] / params.repetition_penalty
        self._in_top_k[row] = np.arange(self._in_top_k.shape[1]) < (1 if greedy else params.top_k)
        self._top_p[row] = params.top_p
        self._copies.pop(row, None)
        factors = self._factors[row]
        factors.fill(self._fresh[row])
        said_ids = np.fromiter(said, np.int64)
        factors[said_ids[~self._is_spared[said_ids]]] = self._said[row]
        factors[self._not_first] = _BANNED
        factors[self._never] = _BANNED

    def begun(self, row: int) -> None:
        """The reply shows something: from now on it may end."""
        self._factors[row, self._not_first] = self._fresh[row]
        self._factors[row, self._never] = _BANNED

    def block(self, row: int, tokens: Sequence[int]) -> None:
        """These cannot come next, until they are unblocked."""
        self._factors[row, tokens] = _BANNED

    def unblock(self, row: int, tokens: Sequence[int]) -> None:
        """These can come again, but for what is never drawn; they count as said, unless spared."""
        self._factors[row, tokens] = np.where(
            self._is_spared.take(tokens), self._fresh[row], self._said[row]
        )
        self._factors[row, self._never] = _BANNED

    def allow(self, row: int, tokens: Sequence[int]) -> None:
        """These can come again; they count as not said."""
        self._factors[row, tokens] = self._fresh[row]

    def copy(self, row: int, copies: Copies) -> None:
        """What may be copied as the next token, unless it cannot come at all."""
        if copies.tokens and (
            tokens := [token for token in copies.tokens if self._factors[row, token] > 0]
        ):
            self._copies[row] = copies._replace(tokens=tokens)
        else:
            self._copies.pop(row, None)

    def move(self, source: int, target: int) -> None:
        """A reply has moved to another slot."""
        for state in (self._factors, self._fresh, self._said, self._in_top_k, self._top_p):
            state[target] = state[source]
        self.copy(target, self._copies.pop(source, NO_COPIES))

    def sample(
        self,
        values: npt.NDArray[np.float32],
        ids: npt.NDArray[np.int64],
        uniforms: Sequence[float],
        first_row: int = 0,
    ) -> npt.NDArray[np.int64]:
        """One token for each of the rows first_row.. from (B, K) logits, in falling order.

        `uniforms` are B numbers in [0, 1), one for each draw.
        """
        count = len(uniforms)
        rows = slice(first_row, first_row + count)
        copied: dict[int, int] = {}
        if self._copies:
            uniforms, copied = self._draw_copies(uniforms, first_row, ids)
        lanes = self._lane_starts[:count]
        index, depth, factors = self._index[:count], self._depth[:count], self._weights[:count]
        np.add(ids, self._row_starts[rows], out=index)
        self._flat_factors.take(index, out=factors, mode="clip")
        # Negative, so that an ascending sort, cheap on what is nearly sorted, puts the best first.
        np.subtract(values[:, -1:] - 1, values, out=depth)
        np.multiply(depth, factors, out=depth)
        order = depth.argsort(axis=1, kind="stable")
        np.add(order, lanes[:, None], out=order)
        choice = self._draw(order, rows, np.array(uniforms, np.float32))
        picked = order.take(choice + lanes)
        tokens: npt.NDArray[Any] = ids.take(picked)
        for place, token in copied.items():
            tokens[place] = token
        return tokens

    def resample(
        self,
        values: npt.NDArray[np.float32],
        ids: npt.NDArray[np.int64],
        uniform: float,
        row: int,
        fits: Callable[[int], bool],
    ) -> int | None:
        """A token for one row that `fits`, from (1, K) logits; None where no candidate does."""
        misfits = [token for token in ids[0].tolist() if not fits(token)]
        factors = self._factors[row]
        kept = factors[misfits]
        factors[misfits] = _BANNED
        self._copies.pop(row, None)
        [token] = self.sample(values, ids, [uniform], row).tolist()
        can_come = bool(factors[token] > 0)
        factors[misfits] = kept
        return token if can_come else None

    def said(self, tokens: npt.NDArray[np.int64], first_row: int = 0) -> None:
        """These, one for each of the rows first_row.., come next: they count as said, unless
        spared."""
        rows = slice(first_row, first_row + len(tokens))
        spared = self._is_spared.take(tokens)
        self._flat_factors[tokens + self._row_starts[rows, 0]] = np.where(
            spared, self._fresh[rows], self._said[rows]
        )

    def _draw_copies(
        self, uniforms: Sequence[float], first_row: int, ids: npt.NDArray[np.int64]
    ) -> tuple[list[float], dict[int, int]]:
        """Which of the draws copy what. A draw that does not still has an even number to use."""
        left = list(uniforms)
        copied: dict[int, int] = {}
        for row, (tokens, share, if_inner) in self._copies.items():
            place = row - first_row
            if not 0 <= place < len(left) or (if_inner and not self._is_inner[ids[place, 0]]):
                continue
            if left[place] < share:
                copied[place] = tokens[int(left[place] / share * len(tokens))]
            else:
                left[place] = (left[place] - share) / (1 - share)
        return left, copied

    def _draw(
        self, order: npt.NDArray[np.int64], rows: slice, uniforms: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.int64]:
        """The place in `order` of each row's choice."""
        count = len(order)
        weights, mass, below = self._weights[:count], self._mass[:count], self._below[:count]
        self._flat_depth.take(order, out=weights, mode="clip")
        np.subtract(weights[:, :1], weights, out=weights)
        np.exp(weights, out=weights)
        np.multiply(weights, self._in_top_k[rows], out=weights)
        np.add.accumulate(weights, axis=1, out=mass)
        # Mass only grows, so the first place that is not below a limit is where it is reached. The
        # nucleus ends with the candidate that brings its mass to top_p. Where rounding puts the
        # draw at the very end of the mass, argmin finds no place and says the first: no harm done.
        np.less(mass, (mass[:, -1] * self._top_p[rows])[:, None], out=below)
        nucleus = mass.take(below.argmin(axis=1) + self._lane_starts[:count])
        np.less_equal(mass, (nucleus * uniforms)[:, None], out=below)
        choice: npt.NDArray[Any] = below.argmin(axis=1)
        return choice
