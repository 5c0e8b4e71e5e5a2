"""Checkpoints of a stated shape with random weights, which cost as much to run as trained ones.

`python -m training.bench.checkpoint DIR` writes one of DistilGPT2's size, and its bundles.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from inference.bundle import Bundle
from training.scratch import Size, write_weights

DISTILGPT2 = Size(layers=6, width=768, heads=12, positions=1024, vocabulary=50_257)
VOCABULARY_FILE = "vocabulary.json"
KINDS = ("int8", "int4")


def size_of(bundle: Bundle) -> Size:
    """The shape of a bundle's model."""
    return Size(
        layers=bundle.n_layer,
        width=bundle.n_embd,
        heads=bundle.n_head,
        positions=bundle.n_ctx,
        vocabulary=bundle.vocab_size,
    )


def write_random_checkpoint(directory: Path, size: Size) -> Path:
    """Write the checkpoint; its tokenizer has a token for each byte and made-up ones beyond."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from training.vocabulary import END_TOKEN, ROLE_TOKENS

    directory.mkdir(parents=True)
    tokens = [END_TOKEN, *ROLE_TOKENS.values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens += [f"Ġ{number}" for number in range(size.vocabulary - len(tokens))]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / VOCABULARY_FILE).write_text(json.dumps(tokens), encoding="utf-8")
    write_weights(directory, size, tokens=len(tokens), seed=0)
    return directory


def write_in_process(directory: Path) -> str:
    """What `main` does, in another process, whose memory is not the caller's. Why it failed or ""."""
    done = subprocess.run(  # noqa: S603 - this module
        [sys.executable, "-m", "training.bench.checkpoint", directory],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.returncode:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


def main() -> None:
    from training.export import ExportOptions, export_bundle

    directory = Path(sys.argv[1])
    checkpoint = write_random_checkpoint(directory / "distilgpt2", DISTILGPT2)
    for kind in KINDS:
        export_bundle(checkpoint, directory / kind, ExportOptions(quantization=kind))


if __name__ == "__main__":
    main()
