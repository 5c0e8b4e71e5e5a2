"""Which programs can be compared, and what each must be able to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from training.bench import ctranslate2_peer, llama_cpp_peer, ours_peer, tensorflow_peer


class Peer(Protocol):
    """A program with the weights loaded."""

    def generate(self, chats: int, prompt_tokens: int, tokens: int) -> None:
        """Write exactly `tokens` tokens in each of so many chats at once."""

    def close(self) -> None: ...


OURS = "ours"
# From (path, threads, chats); ours reads a bundle, the others a checkpoint directory.
LOADERS: dict[str, Callable[[Path, int, int], Peer]] = {
    OURS: ours_peer.load,
    "ctranslate2": ctranslate2_peer.load,
    "llama.cpp": llama_cpp_peer.load,
    "tensorflow": tensorflow_peer.load,
}
PEERS = tuple(name for name in LOADERS if name != OURS)
