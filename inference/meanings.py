"""How near words are in meaning, by what a model knows of its own tokens.

Tokens that are used alike have embeddings that point the same way, once what all of them share is
taken off: their mean and their first principal components (Mu and Viswanath 2018,
"All-but-the-Top"). Export puts that into a graph of its own, which reads the model's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from inference.bundle import MEANINGS_FILE, Bundle
from inference.errors import BundleError

if TYPE_CHECKING:
    import onnxruntime as ort

Vector = npt.NDArray[np.float32]
_CACHED_WORDS = 4096


class Meanings:
    """The words of one model. May be asked by any thread."""

    def __init__(
        self, session: ort.InferenceSession, encode: Callable[[str], Sequence[int]]
    ) -> None:
        self._session = session
        self._encode = encode
        self._vector = lru_cache(_CACHED_WORDS)(self._find_vector)
        self._width = self._of_tokens([0]).shape[1]

    @classmethod
    def of(cls, bundle: Bundle, encode: Callable[[str], Sequence[int]]) -> Meanings | None:
        """None for a bundle that was exported without. Raises BundleError."""
        import onnxruntime as ort

        if MEANINGS_FILE not in bundle.files:
            return None
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False
        path = bundle.path / MEANINGS_FILE
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            return cls(session, encode)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise BundleError(f"{path}: ONNX Runtime cannot run it ({reason}).") from error

    def nearness(self, asked: Sequence[str], told: Sequence[str]) -> float:
        """From -1 to 1: how near each word that is asked for comes to one that is told, on average;
        0 without words."""
        if not asked or not told:
            return 0.0
        wanted, given = (
            np.stack([self._vector(word) for word in words]) for words in (asked, told)
        )
        return float((wanted @ given.T).max(axis=1).mean())

    def _find_vector(self, word: str) -> Vector:
        """Of length 1, (n_embd); 0 for a word without tokens."""
        ids = self._encode(word)
        if not ids:
            return np.zeros(self._width, np.float32)
        total: Vector = self._of_tokens(ids).sum(axis=0)
        return total / max(float(np.linalg.norm(total)), 1e-9)

    def _of_tokens(self, ids: Sequence[int]) -> Vector:
        """(tokens, n_embd)."""
        [vectors] = self._session.run(["meanings"], {"ids": np.array(ids, np.int64)})
        found: Vector = vectors
        return found
