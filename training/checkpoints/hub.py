"""Checkpoints by name: a directory, or `hf://owner/name` on the Hugging Face Hub.

What was fetched once is found again without a network, in the Hub's own cache (`HF_HOME`).
"""

from __future__ import annotations

from pathlib import Path

from inference.bundle import TOKENIZER_FILE
from training.checkpoints.directory import (
    BEST,
    CONFIG_FILE,
    FACTS_FILE,
    INDEX_FILE,
    KEPT,
    LAST,
    WEIGHTS_FILE,
    weights_file,
)
from training.checkpoints.vocabulary import ADDED_FILE
from training.errors import CheckpointError

SCHEME = "hf://"
FILES = (
    *(CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE),
    *("vocab.json", "merges.txt", ADDED_FILE, FACTS_FILE),
)
# What may be there instead of one file of weights.
SHARDS = (INDEX_FILE, "model-*.safetensors")


def checkpoint_directory(name: str | Path) -> Path:
    """The directory of a checkpoint, fetched from the Hub where the name asks for it.

    `hf://owner/name@revision` takes a branch, tag or commit. Raises CheckpointError when it cannot
    be fetched: the Hub cannot be reached, does not know the name, or has no safetensors weights
    under it.
    """
    if not str(name).startswith(SCHEME):
        return Path(name)
    repository, _, revision = str(name).removeprefix(SCHEME).partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise CheckpointError(
            f"{name}: a name on the Hub is hf://owner/name, as hf://distilbert/distilgpt2."
        )
    directory = _fetch(str(name), repository, revision or None)
    if not weights_file(directory).is_file():
        raise CheckpointError(f"{name}: has no {WEIGHTS_FILE}; only safetensors weights are read.")
    return directory


def checkpoint_name(name: str | Path) -> str:
    """What a checkpoint is called in a bundle and in a run's notes: `runs/one/best` is one/best."""
    text = str(name)
    if text.startswith(SCHEME):
        return text.removeprefix(SCHEME)
    *_, above, folder, last = ("", "", *Path(name).resolve().parts)
    if folder == KEPT:
        return f"{above}/{folder}/{last}"
    return f"{folder}/{last}" if last in (LAST, BEST) else last


def _fetch(name: str, repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        wanted = [*FILES, *SHARDS]
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{name}: not on the Hub, or not public ({reason})") from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{name}: the Hub cannot be reached and nothing of it is in the cache. Download "
            f"{', '.join(FILES[:3])} elsewhere and give their directory instead."
        ) from error
    except Exception as error:  # a full disk, a proxy: the Hub's client has its own errors for it
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise CheckpointError(f"{name}: cannot be fetched from the Hub ({reason}).") from error
