"""The tokenizer of a checkpoint, with the special tokens that a conversation needs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import inference.vocabulary
from inference.bundle import SpecialTokens
from inference.errors import BundleError
from inference.prompt import PromptRenderer
from training.checkpoints.directory import HEAD_WEIGHT, Checkpoint, FloatArray, read_json
from training.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_TOKEN = "<|endoftext|>"  # noqa: S105
ROLE_TOKENS = {"persona": "<persona>", "person": "<person>", "bot": "<bot>"}
# Tokens beside those of vocab.json, with their ids.
ADDED_FILE = "added_tokens.json"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`added` names the special tokens that the checkpoint did not have."""

    tokenizer: Tokenizer
    special_tokens: SpecialTokens
    added: tuple[str, ...]

    def renderer(self, n_ctx: int) -> PromptRenderer:
        """Renders for a checkpoint of so many positions."""
        lowercase = is_lower_case(self.tokenizer)
        return PromptRenderer(self.tokenizer, self.special_tokens, n_ctx=n_ctx, lowercase=lowercase)


def read_vocabulary(directory: Path) -> Vocabulary:
    """Read `tokenizer.json`, or `vocab.json` with `merges.txt` and `added_tokens.json` where there
    is one, and complete its special tokens.

    Raises CheckpointError when there is none, when it has no end-of-text token, or when it is of a
    kind that is not served.
    """
    from tokenizers import AddedToken

    tokenizer = _read_tokenizer(directory)
    if tokenizer.token_to_id(END_TOKEN) is None:
        raise CheckpointError(
            f"{directory}: the tokenizer has no {END_TOKEN}, the token that ends a GPT-2's texts."
        )
    try:
        inference.vocabulary.Vocabulary.of(tokenizer)
    except BundleError as error:
        raise CheckpointError(f"{directory}: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    added = tuple(token for token in ROLE_TOKENS.values() if tokenizer.token_to_id(token) is None)
    special = [END_TOKEN, *ROLE_TOKENS.values()]
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special]
    )
    ids = {role: _token_id(tokenizer, token) for role, token in ROLE_TOKENS.items()}
    return Vocabulary(tokenizer, SpecialTokens(**ids, end=_token_id(tokenizer, END_TOKEN)), added)


def write_tokenizer(path: Path, tokenizer: Tokenizer) -> None:
    """As `Tokenizer.save` does, whose errors are of no kind of their own. Raises OSError."""
    path.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")


def fit_embeddings(checkpoint: Checkpoint, vocabulary: Vocabulary) -> Checkpoint:
    """Give every special token that was added a row: the mean of the checkpoint's own rows.

    The mean leaves the untrained token as likely as an average one (Hewitt 2021, "Initializing New
    Word Embeddings for Pretrained Language Models"). Raises CheckpointError when the tokenizer
    knows more tokens than the checkpoint has rows for.
    """
    rows = checkpoint.config.vocab_size
    tokens = vocabulary.tokenizer.get_vocab_size(with_added_tokens=True)
    known = tokens - len(vocabulary.added)
    if known > rows:
        raise CheckpointError(
            f"{checkpoint.path}: the tokenizer has {known} tokens "
            f"but config.json says vocab_size {rows}."
        )
    if not vocabulary.added:
        return checkpoint
    weights = dict(checkpoint.weights)
    for name in ("wte.weight", HEAD_WEIGHT):
        if name in weights:
            weights[name] = _with_mean_rows(weights[name], known, tokens)
    config = dataclasses.replace(checkpoint.config, vocab_size=max(rows, tokens))
    return dataclasses.replace(checkpoint, config=config, weights=weights)


def is_lower_case(tokenizer: Tokenizer) -> bool:
    """Whether the checkpoint was trained on lower-cased text.

    True when the tokenizer lower-cases by itself, or when no token of its vocabulary spells a
    capital letter beyond the bytes that every byte-level vocabulary has.
    """
    if "Lowercase" in str(tokenizer.normalizer):
        return True
    words = (
        token for token in tokenizer.get_vocab(with_added_tokens=False) if len(token.strip("Ġ")) > 1
    )
    return not any("A" <= letter <= "Z" for word in words for letter in word)


def _token_id(tokenizer: Tokenizer, token: str) -> int:
    token_id = tokenizer.token_to_id(token)
    if token_id is None:
        raise CheckpointError(f"the tokenizer would not take the special token {token}.")
    return int(token_id)


def _with_mean_rows(table: FloatArray, start: int, stop: int) -> FloatArray:
    mean = table[:start].mean(axis=0, dtype=np.float64).astype(np.float32)
    grown = np.concatenate(
        [table, np.empty((max(0, stop - len(table)), table.shape[1]), np.float32)]
    )
    grown[start:stop] = mean
    return grown


def _read_tokenizer(directory: Path) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    if not directory.is_dir():
        raise CheckpointError(f"{directory}: no such checkpoint directory.")
    path = directory / "tokenizer.json"
    vocab, merges = directory / "vocab.json", directory / "merges.txt"
    try:
        if path.is_file():
            return Tokenizer.from_file(str(path))
        if not (vocab.is_file() and merges.is_file()):
            raise CheckpointError(
                f"{directory}: no tokenizer: neither tokenizer.json nor vocab.json with merges.txt."
            )
        path = vocab
        tokenizer = Tokenizer(models.BPE.from_file(str(vocab), str(merges)))
    except CheckpointError:
        raise
    except Exception as error:  # tokenizers raises plain Exception for a file it cannot parse
        raise CheckpointError(f"{path}: not a readable tokenizer ({error}).") from error
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if (directory / ADDED_FILE).is_file():
        _add_tokens(tokenizer, directory / ADDED_FILE)
    return tokenizer


def _add_tokens(tokenizer: Tokenizer, path: Path) -> None:
    """Add the tokens of a file in the order of their ids. Raises CheckpointError where one would
    get another id, and so another token's row of the weights."""
    from tokenizers import AddedToken

    ids = read_json(path)
    if not all(isinstance(number, int) for number in ids.values()):
        raise CheckpointError(f"{path}: every token must have a whole number, its id.")
    special = {END_TOKEN, *ROLE_TOKENS.values()}
    for token, number in sorted(ids.items(), key=itemgetter(1)):
        tokenizer.add_tokens([AddedToken(token, special=token in special, normalized=False)])
        found = tokenizer.token_to_id(token)
        if found != number:
            raise CheckpointError(
                f"{path}: {token!r} has the id {number} where {found} comes next; ids must go on "
                "from those of vocab.json without a gap: copy both from the same model."
            )
