"""Which programs can be compared, and what each must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from training.bench import OURS, ctranslate2_peer, llama_cpp_peer, ours_peer, tensorflow_peer


class Peer(Protocol):
    """A program with the model loaded."""

    def generate(self, chats: int, prompt_tokens: int, tokens: int) -> int:
        """Write `tokens` tokens in each of so many chats at once; gives how many it wrote in all.
        Each is drawn from the 20 most probable."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A program: `load` takes what it reads, threads and the most chats; `convert` makes what it
    reads, in an empty directory, of a checkpoint. It is run in each of the `environments`, and the
    best counts."""

    load: Callable[[Path, int, int], Peer]
    convert: Callable[[Path, Path], None] | None = None
    environments: Sequence[Mapping[str, str]] = ({},)


# GNU's OpenMP lets threads spin while they wait for each other. That is fastest on idle cores; on
# cores that are shared with other work it takes fifty times as long as threads that sleep.
OPENMP: Sequence[Mapping[str, str]] = ({}, {"OMP_WAIT_POLICY": "passive"})
KINDS = {
    OURS: Kind(ours_peer.load),  # reads a bundle
    "ctranslate2": Kind(ctranslate2_peer.load, ctranslate2_peer.convert, OPENMP),
    "llama.cpp": Kind(llama_cpp_peer.load, llama_cpp_peer.convert, OPENMP),
    "tensorflow": Kind(tensorflow_peer.load, tensorflow_peer.convert),
}
PEERS = tuple(name for name in KINDS if name != OURS)
