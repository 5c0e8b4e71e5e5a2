"""One report on a bundle's speed: what `manage.py benchmark` prints, and peers are held against."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from inference.bench import MeasuredRunner, Throughput, first_tokens, measured_engine, throughput
from inference.bundle import Bundle, load_bundle
from inference.cores import usable_cores
from inference.process import resident_mb

Report = Callable[[str], None]
# Much more than any last-level cache holds.
BANDWIDTH_BYTES = 512 * 2**20
PREFILL_TOKENS = 200
FIRST_TOKEN_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """`batches`: numbers of simultaneous chats; `tokens` of each reply; `threads` 0: all cores."""

    batches: Sequence[int] = (1, 8, 16, 32)
    tokens: int = 100
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`first_token_ms` are of a new turn in a conversation that is known; `bandwidth` is bytes a
    second read from memory by as many threads, `weight_bytes` what one step has to read."""

    name: str
    quantization: str
    load_s: float
    rss_mb: float
    prefill_tok_s: float
    decode: Sequence[Throughput]
    first_token_ms: Sequence[float]
    bandwidth: float
    weight_bytes: int

    @property
    def bus_share(self) -> float:
        """How near decoding for one chat is to reading its weights as fast as memory gives them."""
        return self.decode[0].decode * self.weight_bytes / self.bandwidth

    def as_json(self) -> dict[str, Any]:
        """The fields of the command's JSON line."""
        p50, p95 = np.percentile(np.asarray(self.first_token_ms), [50, 95])
        return {
            "bundle": self.name,
            "quantization": self.quantization,
            "load_s": round(self.load_s, 3),
            "rss_mb": round(self.rss_mb, 1),
            "prefill_tok_s": round(self.prefill_tok_s, 1),
            "decode_tok_s": {str(t.batch): round(t.decode, 1) for t in self.decode},
            "first_token_ms": {"p50": round(float(p50), 2), "p95": round(float(p95), 2)},
            "engine_share": {str(t.batch): round(1 - t.model_s / t.step_s, 3) for t in self.decode},
            "memory_gb_s": round(self.bandwidth / 1e9, 1),
            "bus_share": round(self.bus_share, 3),
        }


def run_benchmark(path: Path, options: BenchmarkOptions, report: Report) -> Benchmark:
    """Measure a bundle through the engine that serves people. Raises the engine's errors."""
    return asyncio.run(_measure(path, options, report))


async def _measure(path: Path, options: BenchmarkOptions, report: Report) -> Benchmark:
    bundle = load_bundle(path)
    threads = options.threads or usable_cores()
    report(f"{bundle.name}: loading")
    engine, runners = measured_engine(path, threads=threads, slots=max(options.batches))
    began = perf_counter()
    await asyncio.to_thread(engine.load)
    load_s = perf_counter() - began
    try:
        await throughput(engine, runners[0], max(options.batches), options.tokens)  # warms up
        decode = []
        for batch in options.batches:
            report(f"{bundle.name}: {batch} chats")
            decode.append(await throughput(engine, runners[0], batch, options.tokens))
        report(f"{bundle.name}: first token of a new turn")
        waits = await first_tokens(engine, "benchmark", FIRST_TOKEN_ROUNDS)
        rss = resident_mb(os.getpid()) or 0.0
    finally:
        await asyncio.to_thread(engine.close)
    return Benchmark(
        name=bundle.name,
        quantization=bundle.quantization,
        load_s=load_s,
        rss_mb=rss,
        prefill_tok_s=_prefill(bundle, threads),
        decode=decode,
        first_token_ms=waits,
        bandwidth=memory_bandwidth(threads),
        weight_bytes=bundle.files["model.onnx.data"].bytes,
    )


def _prefill(bundle: Bundle, threads: int) -> float:
    """Tokens per second of one long prompt, best of three."""
    runner = MeasuredRunner(bundle, slots=1, threads=threads)
    count = min(PREFILL_TOKENS, bundle.n_ctx - 1)
    ids = np.resize(np.arange(10, min(bundle.vocab_size, 250)), count)
    best = 0.0
    for _ in range(3):
        began = perf_counter()
        runner.prefill(0, ids, 0)
        best = max(best, len(ids) / (perf_counter() - began))
    runner.close()
    return best


def memory_bandwidth(threads: int) -> float:
    """Bytes per second that so many threads read from memory together, best of five."""
    values = np.ones(BANDWIDTH_BYTES // 8, np.int64)
    parts = np.array_split(values, threads)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            began = perf_counter()
            list(pool.map(np.max, parts))
            best = max(best, values.nbytes / (perf_counter() - began))
    return best


def machine() -> str:
    """The processor's name and how many of its cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.processor() or platform.machine())}, {usable_cores()} cores"
