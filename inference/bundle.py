"""A model bundle: the directory that training hands to serving.

`bundle.json` is the manifest and is written last, so that its presence means the directory is
complete. It names every other file with its SHA-256 and size; nothing in the directory is trusted
before it has been compared with the manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from inference.errors import BundleError

FORMAT_VERSION = 1
ARCHITECTURES = ("gpt2",)
QUANTIZATIONS = ("int8", "int4", "none")
MANIFEST_FILE = "bundle.json"
MODEL_FILE = "model.onnx"
MODEL_DATA_FILE = "model.onnx.data"
SCORER_FILE = "score.onnx"
MEANINGS_FILE = "meanings.onnx"
WORDS_FILE = "words.txt"
GPU_FILE = "gpu.onnx"
GPU_COPY_FILE = "gpu_copy.onnx"
TOKENIZER_FILE = "tokenizer.json"

_Choice = TypeVar("_Choice", str, int)


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids of the tokens that give a prompt its structure; no text ever encodes to one of them."""

    persona: int
    person: int
    bot: int
    end: int


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """Which renderer wrote the training text, and with what options."""

    version: int
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BundleFile:
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """A validated bundle directory. `n_ctx` is the number of positions the model can hold;
    `n_inner` the units of a feed-forward layer, four times `n_embd` where the manifest does not
    say; `choice_head` whether its graphs score how well a reply follows (`choice_score`)."""

    path: Path
    name: str
    architecture: str
    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    n_ctx: int
    n_inner: int
    quantization: str
    special_tokens: SpecialTokens
    prompt: PromptFormat
    sampling: Mapping[str, int | float]
    source: Mapping[str, Any]
    metrics: Mapping[str, Any]
    files: Mapping[str, BundleFile]
    choice_head: bool = False

    @property
    def model_path(self) -> Path:
        return self.path / MODEL_FILE

    @property
    def gpu_path(self) -> Path:
        return self.path / GPU_FILE

    @property
    def weights_path(self) -> Path:
        return self.path / MODEL_DATA_FILE

    @property
    def tokenizer_path(self) -> Path:
        return self.path / TOKENIZER_FILE


def load_bundle(path: str | Path, *, verify: bool = True) -> Bundle:
    """Read and check a bundle directory; the model itself is not loaded.

    With `verify` every file is compared with its checksum (about 0.1 s for 100 MB); without it
    only presence and size are.

    Raises BundleError with the file and the reason.
    """
    directory = Path(path)
    bundle = _parse_manifest(directory, _read_manifest(directory))
    for name, expected in bundle.files.items():
        _check_file(directory / name, expected, checksum=verify)
    return bundle


def file_entry(path: Path) -> BundleFile:
    """Checksum and size of a file, as the manifest records them."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return BundleFile(sha256=digest, bytes=path.stat().st_size)


def _read_manifest(directory: Path) -> dict[str, Any]:
    manifest_path = directory / MANIFEST_FILE
    if not directory.is_dir():
        raise BundleError(f"{directory}: no such bundle directory.")
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{manifest_path}: missing, so the bundle is incomplete; export it again."
        ) from None
    except OSError as error:
        raise BundleError(f"{manifest_path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{manifest_path}: not valid JSON ({error}).") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{manifest_path}: must hold a JSON object.")
    return manifest


def _parse_manifest(directory: Path, manifest: dict[str, Any]) -> Bundle:
    fields = _Fields(directory / MANIFEST_FILE, manifest)
    fields.one_of("format_version", (FORMAT_VERSION,))
    bundle = Bundle(
        path=directory,
        name=fields.text("name"),
        architecture=fields.one_of("architecture", ARCHITECTURES),
        vocab_size=fields.integer("vocab_size"),
        n_layer=fields.integer("n_layer"),
        n_head=fields.integer("n_head"),
        n_embd=fields.integer("n_embd"),
        n_ctx=fields.integer("n_ctx"),
        n_inner=_parse_inner(fields),
        quantization=fields.one_of("quantization", QUANTIZATIONS),
        special_tokens=_parse_special_tokens(fields),
        prompt=_parse_prompt(fields),
        sampling=_parse_sampling(fields),
        source=fields.mapping("source"),
        metrics=fields.mapping("metrics"),
        files=_parse_files(fields),
        choice_head=fields.flag("choice_head"),
    )
    if bundle.n_embd % bundle.n_head:
        fields.refuse("n_embd", f"{bundle.n_embd} cannot be divided by n_head {bundle.n_head}")
    return bundle


def _parse_inner(fields: _Fields) -> int:
    return fields.integer("n_inner") if "n_inner" in fields.values else 4 * fields.integer("n_embd")


def _parse_special_tokens(fields: _Fields) -> SpecialTokens:
    given = fields.nested("special_tokens")
    vocab_size = fields.integer("vocab_size")
    ids = {role: given.integer(role, minimum=0) for role in ("persona", "person", "bot", "end")}
    for role, token_id in ids.items():
        if token_id >= vocab_size:
            given.refuse(role, f"{token_id} is outside the vocabulary of {vocab_size}")
    if len(set(ids.values())) < len(ids):
        fields.refuse("special_tokens", "two roles share one id")
    return SpecialTokens(**ids)


def _parse_prompt(fields: _Fields) -> PromptFormat:
    given = fields.nested("prompt")
    return PromptFormat(version=given.integer("version"), options=given.mapping("options"))


def _parse_sampling(fields: _Fields) -> dict[str, int | float]:
    sampling = fields.mapping("sampling")
    for name, value in sampling.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            fields.refuse("sampling", f"{name} must be a number, not {value!r}")
    return sampling


def _parse_files(fields: _Fields) -> dict[str, BundleFile]:
    files: dict[str, BundleFile] = {}
    for name in fields.mapping("files"):
        entry = fields.nested("files").nested(name)
        if name != Path(name).name or name == MANIFEST_FILE or "\0" in name:
            fields.refuse("files", f"{name!r} is not a plain file name beside the manifest")
        files[name] = BundleFile(
            sha256=entry.text("sha256"), bytes=entry.integer("bytes", minimum=0)
        )
    for name in (MODEL_FILE, TOKENIZER_FILE):
        if name not in files:
            fields.refuse("files", f"{name} is not listed")
    # The graphs name it, so it would be read all the same.
    if MODEL_DATA_FILE not in files and fields.path.with_name(MODEL_DATA_FILE).exists():
        fields.refuse(
            "files",
            f"{MODEL_DATA_FILE} is not listed, so nobody would see that it is damaged; "
            "export the bundle again",
        )
    return files


def _check_file(path: Path, expected: BundleFile, *, checksum: bool) -> None:
    try:
        size = path.stat().st_size
        if size != expected.bytes:
            raise BundleError(
                f"{path}: damaged: {size} bytes where the manifest says {expected.bytes}."
            )
        if checksum and file_entry(path).sha256 != expected.sha256:
            raise BundleError(f"{path}: damaged: its SHA-256 is not the manifest's.")
    except FileNotFoundError:
        raise BundleError(f"{path}: missing, though the manifest lists it.") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}).") from error


class _Fields:
    """Typed reads of one JSON object; every refusal names the file and the field."""

    def __init__(self, path: Path, values: dict[str, Any], prefix: str = "") -> None:
        self.path = path
        self.values = values
        self.prefix = prefix

    def refuse(self, name: str, reason: str) -> NoReturn:
        raise BundleError(f"{self.path}: {self.prefix}{name}: {reason}.")

    def _get(self, name: str, kind: type, described: str) -> Any:
        value = self.values.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            given = f"not {value!r}" if name in self.values else "but is missing"
            self.refuse(name, f"must be {described}, {given}")
        return value

    def text(self, name: str) -> str:
        return str(self._get(name, str, "a string"))

    def integer(self, name: str, *, minimum: int = 1) -> int:
        value = int(self._get(name, int, "a whole number"))
        if value < minimum:
            self.refuse(name, f"must be {minimum} or more, not {value}")
        return value

    def flag(self, name: str) -> bool:
        """False where it is missing."""
        value = self.values.get(name, False)
        return value if isinstance(value, bool) else self.refuse(name, "must be true or false")

    def mapping(self, name: str) -> dict[str, Any]:
        return dict(self._get(name, dict, "an object"))

    def nested(self, name: str) -> _Fields:
        return _Fields(self.path, self.mapping(name), f"{self.prefix}{name}.")

    def one_of(self, name: str, allowed: tuple[_Choice, ...]) -> _Choice:
        value = self.values.get(name)
        for choice in allowed:
            if value == choice and type(value) is type(choice):
                return choice
        choices = ", ".join(map(str, allowed))
        self.refuse(name, f"this program serves {choices}, not {value!r}")
