"""The model card of a bundle."""

from __future__ import annotations

from typing import Any

CARD_FILE = "README.md"

_NO_DESCRIPTION = """\
Nothing was said about this model when it was exported: where its training text comes from, under
which licence, and how good it is are for whoever exported it to add here.
"""
_WEIGHTS = {
    "int8": "8 bits, a scale per output; activations and the key/value cache too",
    "int4": "4 bits, a scale per 32 weights; key/value cache in 8 bits",
    "none": "float32",
}


def model_card(manifest: dict[str, Any], description: str) -> str:
    """Markdown: the given description, then what the manifest says."""
    special = ", ".join(f"{role} {token}" for role, token in manifest["special_tokens"].items())
    case = "lower-cased" if manifest["prompt"]["options"]["lowercase"] else "natural case"
    parts = [
        f"# {manifest['name']}",
        description.strip() or _NO_DESCRIPTION.strip(),
        "## Shape",
        f"GPT-2: {manifest['n_layer']} layers, {manifest['n_head']} heads, width "
        f"{manifest['n_embd']}, {manifest['n_inner']} inner units, {manifest['n_ctx']} positions, "
        f"{manifest['vocab_size']} tokens; "
        f"weights: {_WEIGHTS[manifest['quantization']]}. Text: {case}. "
        f"Ids of the special tokens: {special}.",
        *_table("Sampling defaults", manifest["sampling"]),
        *_table("Metrics", manifest["metrics"]),
        *_table("Source", manifest["source"]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(title: str, values: dict[str, Any]) -> list[str]:
    if not values:
        return []
    rows = [f"| {name} | {_cell(value)} |" for name, value in values.items()]
    return [f"## {title}", "\n".join(["| what | value |", "|---|---|", *rows])]


def _cell(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
