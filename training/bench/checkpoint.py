"""Checkpoints of a stated shape with random weights, which cost as much to run as true ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count, islice, product
from pathlib import Path
from string import ascii_lowercase

from inference.bundle import TOKENIZER_FILE, Bundle
from training.checkpoints.scratch import SPECIAL_TOKENS, Size, write_weights

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
        inner=bundle.n_inner,
    )


def write_random_checkpoint(directory: Path, size: Size) -> Path:
    """Write the checkpoint; its tokenizer has a token for each byte, and made-up words beyond.

    A word is the word without its last letter, merged with that letter: so what random weights
    say is read again as the tokens that it was, and an English word takes two or three.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    directory.mkdir(parents=True)
    tokens = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words = list(islice(_words(), max(0, size.vocabulary - len(tokens))))
    tokens += words
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [(word[:-1], word[-1]) for word in words]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(directory / TOKENIZER_FILE))
    (directory / VOCABULARY_FILE).write_text(json.dumps(tokens), encoding="utf-8")
    write_weights(directory, size, tokens=len(tokens), seed=0)
    return directory


def _words() -> Iterator[str]:
    """A space and one letter, a space and two, and so on, as byte-level tokens write them."""
    for length in count(1):
        for letters in product(ascii_lowercase, repeat=length):
            yield "Ġ" + "".join(letters)


def read_tokens(directory: Path) -> list[str]:
    """The vocabulary of a checkpoint that `write_random_checkpoint` wrote, by id."""
    tokens: list[str] = json.loads((directory / VOCABULARY_FILE).read_text(encoding="utf-8"))
    return tokens
