"""Checkpoints of a stated shape with random weights, which cost as much to run as true ones."""

from __future__ import annotations

import json
from pathlib import Path

from inference.bundle import Bundle
from training.scratch import SPECIAL_TOKENS, Size, write_weights

DISTILGPT2 = Size(layers=6, width=768, heads=12, positions=1024, vocabulary=50_257)
VOCABULARY_FILE = "vocabulary.json"


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

    directory.mkdir(parents=True)
    tokens = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens += [f"Ġ{number}" for number in range(size.vocabulary - len(tokens))]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / VOCABULARY_FILE).write_text(json.dumps(tokens), encoding="utf-8")
    write_weights(directory, size, tokens=len(tokens), seed=0)
    return directory


def read_tokens(directory: Path) -> list[str]:
    """The vocabulary of a checkpoint that `write_random_checkpoint` wrote, by id."""
    tokens: list[str] = json.loads((directory / VOCABULARY_FILE).read_text(encoding="utf-8"))
    return tokens
