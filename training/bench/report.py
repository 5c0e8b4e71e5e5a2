"""What a benchmark found: as a table, as one JSON line, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from inference.benchmark import Benchmark, Throughput
from inference.machine import machine
from training.bench import OURS
from training.bench.side_by_side import Rates

Row = Mapping[str, float]
COMPARED = f"{OURS} int8"


@dataclass(slots=True)
class Report:
    """`bundles` are those that were measured alone; `rates` has all programs side by side, ours
    too, by name."""

    bundles: Sequence[Benchmark]
    rates: Mapping[str, Rates] = field(default_factory=dict)

    @property
    def peers(self) -> dict[str, Row]:
        """Decoded tokens per second of other programs by number of chats."""
        return {n: r.decode for n, r in self.rates.items() if not _is_ours(n)}

    @property
    def ratios(self) -> dict[str, Row]:
        """How many times as fast as each peer our 8 bits decode, measured as it was."""
        if COMPARED not in self.rates:
            return {}
        own = self.rates[COMPARED].decode
        return {
            name: {n: round(own[n] / rate, 2) for n, rate in row.items() if n in own}
            for name, row in self.peers.items()
        }

    def as_json(self) -> dict[str, Any]:
        """The fields of the command's JSON line."""
        first, *others = (_facts(item) for item in self.bundles)
        line = {**first, "machine": machine(), "peers": self.peers, "ratios": self.ratios}
        if others:
            line["other_quantizations"] = {item["quantization"]: item for item in others}
        if self.rates:
            line["side_by_side"] = {
                name: {
                    "decode_tok_s": rates.decode,
                    "with_prompts_tok_s": rates.with_prompts,
                    "rss_mb": rates.rss_mb,
                }
                for name, rates in self.rates.items()
            }
        return line

    def table(self) -> str:
        """For a person."""
        blocks = [[machine()], *(_bundle_lines(item) for item in self.bundles)]
        if self.rates:
            blocks += self._comparison()
        return "\n\n".join("\n".join(lines) for lines in blocks)

    def plot(self, path: Path) -> None:
        """Draw what all chats and what each chat gets, against their number. Raises OSError."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogFormatter

        rows: dict[str, Row] = {name: rates.decode for name, rates in self.rates.items()} or {
            f"{OURS} {item.quantization}": _decode(item) for item in self.bundles
        }
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        total, each = figure.subplots(1, 2)
        for name, row in rows.items():
            chats = [int(n) for n in row]
            style = "-o" if _is_ours(name) else "--s"
            total.plot(chats, list(row.values()), style, label=name)
            each.plot(chats, [1000 * int(n) / rate for n, rate in row.items()], style)
        total.set(title="All chats together", ylabel="tokens per second", yscale="log")
        each.set(title="One of the chats", ylabel="milliseconds per token", yscale="log")
        for axes in (total, each):
            axes.set(xlabel="simultaneous chats", xticks=[t.batch for t in self._throughputs])
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
            axes.grid(alpha=0.3, which="both")
        figure.legend(loc="outside lower center", ncols=len(rows))
        figure.suptitle(f"{self.bundles[0].name}; {machine()}")
        figure.savefig(path, dpi=120)

    @property
    def _throughputs(self) -> Sequence[Throughput]:
        return self.bundles[0].throughputs

    def _comparison(self) -> list[list[str]]:
        chats = [str(item.batch) for item in self._throughputs]
        decode = {name: rates.decode for name, rates in self.rates.items()}
        whole = {name: rates.with_prompts for name, rates in self.rates.items()}
        ratios = {f"{COMPARED} : {name}": row for name, row in self.ratios.items()}
        memory = [
            f"{name:<42}{rates.rss_mb:>9.0f}" for name, rates in self.rates.items() if rates.rss_mb
        ]
        return [
            _rows("side by side, decoding, tokens/s", chats, decode, ".0f"),
            _rows("prompts included, tokens/s", chats, whole, ".0f"),
            _rows("times as fast, decoding", chats, ratios, ".2f"),
            [f"{'resident memory after that, MB':<42}", *memory],
        ]


def _is_ours(name: str) -> bool:
    return name.startswith(f"{OURS} ")


def _facts(item: Benchmark) -> dict[str, Any]:
    p50, p95 = np.percentile(np.asarray(item.first_token_s), [50, 95])
    return {
        "bundle": item.name,
        "quantization": item.quantization,
        "load_s": round(item.load_s, 3),
        "rss_mb": item.rss_mb,
        "prefill_tok_s": round(item.prefill, 1),
        "decode_tok_s": _decode(item),
        "with_prompts_tok_s": {str(t.batch): round(t.whole, 1) for t in item.throughputs},
        "engine_share": {str(t.batch): round(t.own_s / t.step_s, 3) for t in item.throughputs},
        "engine_us": {str(t.batch): round(t.own_s * 1e6) for t in item.throughputs},
        "first_token_ms": {"p50": round(float(p50) * 1e3, 2), "p95": round(float(p95) * 1e3, 2)},
        "first_token_recomputed_ms": round(median(item.recomputed_s) * 1e3, 2),
        "weights_mb": round(item.weight_bytes / 1e6, 1),
        "memory_gb_s": round(item.bandwidth / 1e9, 1),
        "bus_share": round(item.bus_share, 3),
    }


def _decode(item: Benchmark) -> dict[str, float]:
    return {str(t.batch): round(t.decode, 1) for t in item.throughputs}


def _bundle_lines(item: Benchmark) -> list[str]:
    facts = _facts(item)
    chats = list(facts["decode_tok_s"])
    first = facts["first_token_ms"]
    rates = {"decoding": facts["decode_tok_s"], "prompts included": facts["with_prompts_tok_s"]}
    _, *own = _rows("", chats, {"engine's own part of a step, us": facts["engine_us"]}, ".0f")
    _, *share = _rows("", chats, {"the same, of the whole": facts["engine_share"]}, ".1%")
    return [
        *_rows(f"{item.name} {item.quantization}, tokens/s", chats, rates, ".0f"),
        *own,
        *share,
        f"first token of a fourth turn: {first['p50']:.1f} ms median, {first['p95']:.1f} ms p95; "
        f"{facts['first_token_recomputed_ms']:.1f} ms without kept keys and values",
        f"prompts: {item.prefill:.0f} tokens/s; loaded in {item.load_s:.2f} s; "
        f"{item.rss_mb or 0:.0f} MB resident",
        f"a step reads {facts['weights_mb']} MB of weights: decoding {chats[0]} at once, "
        f"{item.bandwidth * item.bus_share / 1e9:.1f} GB/s of the {facts['memory_gb_s']} GB/s "
        f"that memory gives ({item.bus_share:.0%})",
    ]


def _rows(title: str, chats: Sequence[str], rows: Mapping[str, Row], form: str) -> list[str]:
    lines = [f"{title + '; chats:':<42}" + "".join(f"{n:>9}" for n in chats)]
    for name, row in rows.items():
        cells = (format(row[n], form) if n in row else "-" for n in chats)
        lines.append(f"{name:<42}" + "".join(f"{cell:>9}" for cell in cells))
    return lines
