"""What a benchmark found: as a table, as one JSON line, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.benchmark import Benchmark, machine

if TYPE_CHECKING:
    from training.bench.side_by_side import Rates

Row = dict[str, float]


@dataclass(slots=True)
class Report:
    """`ours` has our bundles, the first of which is compared; `rates` all programs by name."""

    ours: Sequence[Benchmark]
    rates: dict[str, Rates] = field(default_factory=dict)

    @property
    def peers(self) -> dict[str, Row]:
        """Decoded tokens per second of other programs by number of chats."""
        return {n: r.decode for n, r in self.rates.items() if not n.startswith("ours ")}

    @property
    def ratios(self) -> dict[str, Row]:
        """How many times faster than each peer our first bundle decodes in the same rounds."""
        own = self.rates.get(f"ours {self.ours[0].quantization}")
        if own is None:
            return {}
        return {
            name: {n: round(own.decode[n] / rate, 2) for n, rate in row.items() if n in own.decode}
            for name, row in self.peers.items()
        }

    def as_json(self) -> dict[str, Any]:
        """The fields of the command's JSON line."""
        first, *others = (item.as_json() for item in self.ours)
        found = {
            **first,
            "machine": machine(),
            "peers": self.peers,
            "ratios": self.ratios,
        }
        if self.rates:
            found["side_by_side"] = {
                name: {"decode_tok_s": rate.decode, "with_prompts_tok_s": rate.with_prompts}
                for name, rate in self.rates.items()
            }
        if others:
            found["other_quantizations"] = others
        return found

    def table(self) -> str:
        """For a person."""
        lines = [machine()]
        for item in self.ours:
            lines += ["", *_bundle_lines(item)]
        if self.rates:
            lines += ["", *self._comparison()]
        return "\n".join(lines)

    def plot(self, path: Path) -> None:
        """Draw decoded tokens per second against simultaneous chats."""
        import matplotlib as mpl

        mpl.use("agg")
        from matplotlib import pyplot as plt

        rows = {name: rate.decode for name, rate in self.rates.items()} or {
            f"{item.name} {item.quantization}": item.as_json()["decode_tok_s"] for item in self.ours
        }
        figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
        for name, row in rows.items():
            style = "-o" if name.startswith("ours ") or not self.rates else "--s"
            axes.plot([int(n) for n in row], list(row.values()), style, label=name)
        axes.set(xlabel="simultaneous chats", ylabel="tokens per second", title=self.ours[0].name)
        axes.set_xticks([item.batch for item in self.ours[0].decode])
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(path, dpi=120)
        plt.close(figure)

    def _comparison(self) -> list[str]:
        decode = {name: rate.decode for name, rate in self.rates.items()}
        whole = {name: rate.with_prompts for name, rate in self.rates.items()}
        ratios = {f"of {name}": row for name, row in self.ratios.items()}
        quantization = self.ours[0].quantization
        return [
            *self._rows("side by side, decoding, tokens/s", decode, "9.0f"),
            "",
            *self._rows("the same with the prompts' time", whole, "9.0f"),
            "",
            *self._rows(f"ours {quantization} decodes, times", ratios, "9.2f"),
        ]

    def _rows(self, title: str, rows: dict[str, Row], form: str) -> list[str]:
        chats = [str(item.batch) for item in self.ours[0].decode]
        lines = [f"{title + '; chats:':<42}" + "".join(f"{n:>9}" for n in chats)]
        for name, row in rows.items():
            cells = "".join(format(row[n], form) if n in row else f"{'-':>9}" for n in chats)
            lines.append(f"{name:<42}{cells}")
        return lines


def _bundle_lines(item: Benchmark) -> list[str]:
    facts = item.as_json()
    first = facts["first_token_ms"]
    rates = ", ".join(f"{rate:.0f} for {n}" for n, rate in facts["decode_tok_s"].items())
    shares = ", ".join(f"{share:.1%} for {n}" for n, share in facts["engine_share"].items())
    return [
        f"{item.name} {item.quantization}, {item.weight_bytes / 1e6:.0f} MB",
        f"  decoding, tokens/s and chats    {rates}",
        f"  prompts                         {item.prefill_tok_s:.0f} tokens/s",
        f"  first token of a new turn       {first['p50']:.1f} ms p50, {first['p95']:.1f} ms p95",
        f"  loading; resident memory        {item.load_s:.2f} s; {item.rss_mb:.0f} MB",
        f"  memory gives                    {facts['memory_gb_s']} GB/s; reading the weights for "
        f"one chat takes {item.bus_share:.0%} of it",
        f"  engine's own part of a step     {shares}",
    ]
