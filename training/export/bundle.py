"""Turns a Hugging Face GPT-2 checkpoint directory into a bundle that serving can load."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.bundle import (
    FORMAT_VERSION,
    GPU_COPY_FILE,
    GPU_FILE,
    MANIFEST_FILE,
    MEANINGS_FILE,
    MODEL_DATA_FILE,
    MODEL_FILE,
    SCORER_FILE,
    TOKENIZER_FILE,
    WORDS_FILE,
    Bundle,
    file_entry,
    load_bundle,
)
from inference.errors import BundleError
from inference.params import TOP_K_LIMIT, SamplingParams
from inference.prompt import VERSION as PROMPT_VERSION
from inference.prompt import PromptRenderer
from training.checkpoints.directory import CHOICE_WEIGHT, Checkpoint, read_checkpoint, write_json
from training.checkpoints.vocabulary import (
    Vocabulary,
    fit_embeddings,
    is_lower_case,
    read_vocabulary,
    write_tokenizer,
)
from training.errors import CheckpointError
from training.export.calibration import calibration_texts
from training.export.card import CARD_FILE, model_card
from training.export.equalize import CACHE_SCALE, equalize
from training.export.network import Network, copier
from training.export.ranges import measure_ranges
from training.export.weights import FloatMatrices, Int4Matrices, Int8Matrices
from training.whole import whole_directory
from training.words import write_words


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`lower_case` None takes it from the facts, or else reads it off the vocabulary; `facts` go
    into the manifest as they are.

    `facts` may hold name, prompt (options), sampling, source and metrics: what training knows and
    the weights do not tell. `card` is the Markdown that opens the model card. `choice_head` False
    leaves the second head out, which is of no use untrained. `words` are all that replies are made
    of, beside those of their prompts; without any, replies are not held to a list. `called` is the
    checkpoint's name, where that is not its directory's.
    """

    quantization: str = "int8"
    lower_case: bool | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    card: str = ""
    overwrite: bool = False
    choice_head: bool = True
    words: Sequence[str] = ()
    called: str = ""


def export_bundle(checkpoint_dir: Path, out: Path, options: ExportOptions) -> Bundle:
    """Write the bundle of a checkpoint to the directory `out`, whole or not at all.

    The files are written beside `out`, checked as a server would, and renamed into place. Raises
    CheckpointError, in one line, for anything about the checkpoint or the target that prevents it.
    """
    _check_target(out, overwrite=options.overwrite)
    checkpoint = read_checkpoint(checkpoint_dir)
    if not options.choice_head:
        checkpoint.weights.pop(CHOICE_WEIGHT, None)
    vocabulary = read_vocabulary(checkpoint_dir)
    manifest = _manifest(checkpoint, vocabulary, options)
    checkpoint = fit_embeddings(checkpoint, vocabulary)
    manifest |= _shape(checkpoint)
    if CHOICE_WEIGHT in checkpoint.weights:
        manifest["choice_head"] = True
    network = _network(checkpoint, vocabulary, manifest)
    try:
        with whole_directory(out, replace=True) as fresh:
            _write_files(fresh, network, vocabulary, options.words)
            _write_manifest(fresh, manifest, options)
            _check_served(fresh, out)
    except OSError as error:
        raise CheckpointError(f"{out}: cannot be written ({error.strerror}).") from error
    return load_bundle(out, verify=False)


def _check_target(out: Path, *, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MANIFEST_FILE).is_file():
        raise CheckpointError(f"{out}: exists and is not a bundle; choose another directory.")
    if not overwrite:
        raise CheckpointError(f"{out}: holds a bundle already; --overwrite replaces it.")


def _manifest(
    checkpoint: Checkpoint, vocabulary: Vocabulary, options: ExportOptions
) -> dict[str, Any]:
    facts = options.facts
    given = facts.get("prompt", {}).get("options", {})
    if not isinstance(given, Mapping):
        raise CheckpointError(
            f"{checkpoint.path}: prompt.options must be an object, not {given!r}."
        )
    options_of_prompt = {"lowercase": is_lower_case(vocabulary.tokenizer), **given}
    if options.lower_case is not None:
        options_of_prompt["lowercase"] = options.lower_case
    called = options.called or checkpoint.path.resolve().name
    source = {"checkpoint": called, **facts.get("source", {})}
    if vocabulary.added:
        source["added_special_tokens"] = list(vocabulary.added)
    return {
        "format_version": FORMAT_VERSION,
        "name": facts.get("name", called),
        "architecture": "gpt2",
        "quantization": options.quantization,
        "special_tokens": dataclasses.asdict(vocabulary.special_tokens),
        "prompt": {"version": PROMPT_VERSION, "options": options_of_prompt},
        "sampling": facts.get("sampling", {}),
        "source": source,
        "metrics": facts.get("metrics", {}),
    }


def _shape(checkpoint: Checkpoint) -> dict[str, int]:
    config = checkpoint.config
    names = ("vocab_size", "n_layer", "n_head", "n_embd", "n_inner", "n_ctx")
    return {name: getattr(config, name) for name in names}


def _network(checkpoint: Checkpoint, vocabulary: Vocabulary, manifest: dict[str, Any]) -> Network:
    quantization = manifest["quantization"]
    if quantization == "none":
        return Network(checkpoint, FloatMatrices(checkpoint), None)
    config = checkpoint.config
    renderer = PromptRenderer(
        vocabulary.tokenizer,
        vocabulary.special_tokens,
        n_ctx=config.n_ctx,
        lowercase=manifest["prompt"]["options"]["lowercase"],
    )
    texts = calibration_texts(renderer, vocab_size=config.vocab_size, n_ctx=config.n_ctx)
    checkpoint = equalize(checkpoint, texts)
    if quantization == "int4":
        return Network(checkpoint, Int4Matrices(checkpoint), CACHE_SCALE)
    inputs = measure_ranges(checkpoint, texts).inputs
    return Network(checkpoint, Int8Matrices(checkpoint, inputs), CACHE_SCALE)


def _write_files(
    directory: Path, network: Network, vocabulary: Vocabulary, words: Sequence[str]
) -> None:
    graphs = {
        MODEL_FILE: network.generator(TOP_K_LIMIT),
        SCORER_FILE: network.scorer(),
        MEANINGS_FILE: network.meanings(),
    }
    if network.runs_on_gpus:
        graphs |= {GPU_FILE: network.half().generator(TOP_K_LIMIT), GPU_COPY_FILE: copier()}
    for name, graph in graphs.items():
        (directory / name).write_bytes(graph.SerializeToString())
    (directory / MODEL_DATA_FILE).write_bytes(network.weights.data)
    write_tokenizer(directory / TOKENIZER_FILE, vocabulary.tokenizer)
    if words:
        write_words(directory / WORDS_FILE, words)


def _write_manifest(directory: Path, manifest: dict[str, Any], options: ExportOptions) -> None:
    (directory / CARD_FILE).write_text(model_card(manifest, options.card), encoding="utf-8")
    files = {
        path.name: dataclasses.asdict(file_entry(path)) for path in sorted(directory.iterdir())
    }
    write_json(directory / MANIFEST_FILE, {**manifest, "files": files})


def _check_served(fresh: Path, out: Path) -> None:
    """What a server would refuse must not take the place of a bundle that it serves."""
    try:
        bundle = load_bundle(fresh)
        PromptRenderer.from_bundle(bundle)
        SamplingParams.recommended(bundle.sampling)
    except BundleError as error:
        raise CheckpointError(str(error).replace(str(fresh), str(out))) from error
    except ValueError as error:
        raise CheckpointError(f"{out / MANIFEST_FILE}: sampling: {error}.") from error
