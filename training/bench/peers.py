"""Peers: what other programs make of the same weights, each by the fastest way it offers.

The same lengths of prompt and reply, top-k sampling, 8 bits where a program has them, one warm-up.
What is compared is decoding: the time of prompts, known from replies of one token, is taken off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Protocol

from inference.benchmark import BenchmarkOptions, Report
from inference.cores import usable_cores
from training.bench import ctranslate2_peer, llama_cpp_peer, tensorflow_peer

PROMPT_TOKENS = 32
ROUNDS = 3


class Peer(Protocol):
    """A program with the weights loaded."""

    def generate(self, chats: int, prompt_tokens: int, tokens: int) -> None:
        """Write `tokens` tokens in each of so many chats at once."""

    def close(self) -> None: ...


PEERS: dict[str, tuple[str, Callable[[Path, int, int], Peer]]] = {
    "ctranslate2": ("ctranslate2", ctranslate2_peer.load),
    "llama.cpp": ("xllamacpp", llama_cpp_peer.load),
    "tensorflow": ("keras_hub", tensorflow_peer.load),
}


def measure_peers(
    checkpoint: Path, options: BenchmarkOptions, report: Report
) -> dict[str, dict[str, float]]:
    """Tokens per second of each installed peer for each number of chats; says what is missing."""
    threads = options.threads or usable_cores()
    figures: dict[str, dict[str, float]] = {}
    for name, (package, load) in PEERS.items():
        try:
            peer = load(checkpoint, threads, max(options.batches))
        except ModuleNotFoundError as error:
            report(f"{name}: left out, {error.name} is missing (requirements-bench.txt has it)")
            continue
        report(f"{name}: loaded ({package})")
        figures[name] = {}
        for chats in options.batches:
            report(f"{name}: {chats} chats")
            figures[name][str(chats)] = round(_rate(peer, chats, options.tokens), 1)
        peer.close()
    return figures


def _rate(peer: Peer, chats: int, tokens: int) -> float:
    """Decoded tokens per second: the best of some rounds."""
    long = _best(peer, chats, tokens)
    short = _best(peer, chats, 1)
    return chats * (tokens - 1) / max(long - short, 1e-9)


def _best(peer: Peer, chats: int, tokens: int) -> float:
    peer.generate(chats, PROMPT_TOKENS, tokens)
    times = []
    for _ in range(ROUNDS):
        began = perf_counter()
        peer.generate(chats, PROMPT_TOKENS, tokens)
        times.append(perf_counter() - began)
    return min(times)
