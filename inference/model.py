"""A bundle in memory, with everything an engine needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from inference.bundle import Bundle, load_bundle
from inference.cores import usable_cores
from inference.errors import BundleError
from inference.params import EngineConfig, SamplingParams
from inference.persona.answering import Answers
from inference.prompt import PromptRenderer
from inference.spelling import Lexicon
from inference.vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from inference.runner import TopK
    from inference.slots import KVSnapshot


class ModelRunner(Protocol):
    """What the engine's thread asks of a runner; `runner.Runner` says what each call does."""

    device: str
    slots: int
    n_ctx: int
    top_k: int
    choice_scores: npt.NDArray[np.float32] | None

    def prefill(self, slot: int, token_ids: Sequence[int], past: int) -> TopK: ...
    def decode(self, token_ids: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> TopK: ...
    def move(self, source: int, target: int, length: int) -> None: ...
    def save(self, slot: int, length: int) -> KVSnapshot: ...
    def load(self, slot: int, snapshot: KVSnapshot, length: int) -> None: ...
    def rest(self) -> None: ...
    def close(self) -> None: ...


class RunnerFactory(Protocol):
    """Makes the runner of a bundle."""

    def __call__(self, bundle: Bundle, *, slots: int, threads: int) -> ModelRunner: ...


@dataclass(frozen=True, slots=True)
class Model:
    """What is in memory once a bundle is loaded. The runner is the engine's thread's alone."""

    bundle: Bundle
    renderer: PromptRenderer
    sampling: SamplingParams
    vocabulary: Vocabulary
    answers: Answers
    lexicon: Lexicon | None
    runner: ModelRunner
    load_seconds: float


def load_model(config: EngineConfig, runner_factory: RunnerFactory | None) -> Model:
    """Check and load the bundle; by default onto ONNX Runtime. Raises BundleError."""
    from inference.meanings import Meanings

    began = monotonic()
    bundle = load_bundle(config.bundle_dir)
    try:
        sampling = SamplingParams.recommended(bundle.sampling)
    except ValueError as error:
        raise BundleError(f"{bundle.path}: sampling: {error}.") from error
    renderer = PromptRenderer.from_bundle(bundle)
    _check_tokenizer(bundle, renderer)
    vocabulary = Vocabulary.of(renderer.tokenizer)
    runner = (runner_factory or partial(_onnx_runner, device=config.device))(
        bundle, slots=config.max_batch, threads=config.threads or usable_cores()
    )
    lexicon = Lexicon.of(bundle, vocabulary)
    meanings = Meanings.of(bundle, renderer.encode)
    answers = Answers(
        renderer,
        vocabulary,
        meanings.nearness if meanings else None,
        lexicon.names if lexicon else None,
    )
    return Model(
        bundle=bundle,
        renderer=renderer,
        sampling=sampling,
        vocabulary=vocabulary,
        answers=answers,
        lexicon=lexicon,
        runner=runner,
        load_seconds=monotonic() - began,
    )


def _check_tokenizer(bundle: Bundle, renderer: PromptRenderer) -> None:
    """Whether tokenizer and model know the same tokens. Raises BundleError."""
    # Not their number: ids may leave gaps.
    last = max(renderer.tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if last >= bundle.vocab_size:
        raise BundleError(
            f"{bundle.tokenizer_path}: ids up to {last}, but the model has {bundle.vocab_size} "
            "tokens."
        )
    special = {
        token_id
        for token_id, token in renderer.tokenizer.get_added_tokens_decoder().items()
        if token.special
    }
    for role, token_id in asdict(bundle.special_tokens).items():
        if token_id not in special:
            raise BundleError(
                f"{bundle.tokenizer_path}: id {token_id}, the {role} token of bundle.json, "
                "is not a special token there."
            )


def _onnx_runner(bundle: Bundle, *, slots: int, threads: int, device: str) -> ModelRunner:
    from inference.device import open_runner

    return open_runner(bundle, slots=slots, threads=threads, device=device)
