"""A GPT-2 that has learnt nothing yet: a stated size, and a tokenizer made from the data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.bundle import TOKENIZER_FILE, SpecialTokens
from inference.prompt import PromptRenderer
from training.checkpoints.directory import (
    HEAD_MULTIPLE,
    Config,
    FloatArray,
    expected_shapes,
    write_checkpoint,
)
from training.checkpoints.vocabulary import END_TOKEN, ROLE_TOKENS, write_tokenizer
from training.errors import RunError

# Radford et al. 2019: weights from N(0, 0.02), residual projections scaled down by depth.
DEVIATION = 0.02
# A piece of a word that is longer is of no use as a token, and takes the square of its length.
LONGEST_WORD = 200
_PIECE = re.compile(rf"\s*\S{{1,{LONGEST_WORD}}}")
# The first ids of a new vocabulary.
SPECIAL_TOKENS = (END_TOKEN, *ROLE_TOKENS.values())


@dataclass(frozen=True, slots=True)
class Size:
    """Layers, width and heads; `positions` is the longest text in tokens, `inner` the units of a
    feed-forward layer (0: four times the width)."""

    layers: int
    width: int
    heads: int
    positions: int
    vocabulary: int
    lowercase: bool = True
    inner: int = 0

    @classmethod
    def parse(cls, text: str, *, positions: int, vocabulary: int, lowercase: bool) -> Size:
        """From `6x384x6`: layers, width, heads. Raises RunError."""
        match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
        if not match:
            raise RunError(f"size must be LAYERSxWIDTHxHEADS, as 6x384x6, not {text!r}.")
        layers, width, heads = map(int, match.groups())
        if not layers or not heads or not width or width % heads:
            raise RunError(f"size {text}: the width must be a multiple of the heads.")
        if width // heads % HEAD_MULTIPLE:
            raise RunError(
                f"size {text}: heads of {width // heads} could not be served; choose a width that "
                f"is a multiple of {HEAD_MULTIPLE} times the heads, as in 6x384x6."
            )
        if positions < 1:
            raise RunError(f"positions must be 1 or more, not {positions}.")
        if vocabulary < 300:
            raise RunError(f"vocabulary must be 300 or more, not {vocabulary}.")
        return cls(layers, width, heads, positions, vocabulary, lowercase)


def write_new_checkpoint(directory: Path, size: Size, texts: Iterable[str], *, seed: int) -> None:
    """Write config.json, tokenizer.json and random weights, the same for the same arguments.

    The tokenizer is a byte-level BPE of the `texts`. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tokens = _write_tokenizer(directory / TOKENIZER_FILE, size, texts)
    write_weights(directory, size, tokens=tokens, seed=seed)


def write_weights(directory: Path, size: Size, *, tokens: int, seed: int) -> None:
    """Write config.json and random weights for a vocabulary of so many tokens, `SPECIAL_TOKENS`
    first."""
    config = Config(
        vocab_size=tokens,
        n_layer=size.layers,
        n_head=size.heads,
        n_embd=size.width,
        n_ctx=size.positions,
        n_inner=size.inner or 4 * size.width,
        activation="gelu_new",
        epsilon=1e-5,
        scale_by_head=True,
        scale_by_layer=False,
    )
    random = np.random.default_rng(seed)
    deep = DEVIATION / np.sqrt(2 * size.layers)
    weights = {
        name: _start(name, shape, random, deep) for name, shape in expected_shapes(config).items()
    }
    write_checkpoint(directory, config, weights, end=SPECIAL_TOKENS.index(END_TOKEN))


def _start(
    name: str, shape: tuple[int, ...], random: np.random.Generator, deep: float
) -> FloatArray:
    if name.endswith("bias"):
        return np.zeros(shape, np.float32)
    if "ln_" in name:
        return np.ones(shape, np.float32)
    deviation = deep if name.endswith("c_proj.weight") else DEVIATION
    return random.normal(0, deviation, shape).astype(np.float32)


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """The texts, those with an endless word cut within it."""
    for text in texts:
        if len(text) > LONGEST_WORD and max(map(len, text.split())) > LONGEST_WORD:
            yield from _PIECE.findall(text)
        else:
            yield text


def _write_tokenizer(path: Path, size: Size, texts: Iterable[str]) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size.vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # What the tokenizer is to meet is text as prompts have it.
    ids = {role: SPECIAL_TOKENS.index(token) for role, token in ROLE_TOKENS.items()}
    special = SpecialTokens(**ids, end=SPECIAL_TOKENS.index(END_TOKEN))
    renderer = PromptRenderer(tokenizer, special, lowercase=size.lowercase)
    tokenizer.train_from_iterator(_pieces(map(renderer.normalize, texts)), trainer)
    write_tokenizer(path, tokenizer)
    return int(tokenizer.get_vocab_size(with_added_tokens=True))
