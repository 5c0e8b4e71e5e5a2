"""Whether a bundle works on this machine: its files, its tokenizer and a few steps of its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from inference.agreement import PERSONA, TURNS
from inference.bundle import Bundle, load_bundle
from inference.device import open_runner
from inference.errors import BundleError
from inference.model import check_tokenizer
from inference.prompt import Prompt, PromptRenderer
from inference.runner import Runner

_STEPS = 12
# In logits. Kernels may add in another order when several tokens are run at once, and a difference
# in the last bit can tip the rounding of a key or value that is kept in 8 bits.
_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was found. `reply` is the start of the most probable answer to a greeting."""

    bundle: Bundle
    bytes: int
    load_seconds: float
    device: str
    reply: str


def selftest(path: Path, *, threads: int, device: str = "cpu") -> SelfTest:
    """Check every file of a bundle, load its model and let it speak, on a device as `open_runner`
    takes it.

    Raises BundleError with the file and the reason.
    """
    bundle = load_bundle(path)
    renderer = PromptRenderer.from_bundle(bundle)
    check_tokenizer(bundle, renderer)
    prompt = renderer.render(PERSONA, TURNS, reserve=_STEPS)
    start = perf_counter()
    runner = open_runner(bundle, slots=2, threads=threads, device=device)
    load_seconds = perf_counter() - start
    try:
        reply = _speak(bundle, runner, prompt)
    finally:
        runner.close()
    return SelfTest(
        bundle=bundle,
        bytes=sum(file.bytes for file in bundle.files.values()),
        load_seconds=load_seconds,
        device=runner.device,
        reply=renderer.tokenizer.decode(reply).strip(),
    )


def _speak(bundle: Bundle, runner: Runner, prompt: Prompt) -> list[int]:
    """The most probable reply, token by token; then the same text at once must agree."""
    ids = list(prompt.ids)
    ends = {bundle.special_tokens.person, bundle.special_tokens.end}
    values, candidates = runner.prefill(0, ids, 0)
    while len(ids) < len(prompt.ids) + _STEPS and int(candidates[0, 0]) not in ends:
        ids.append(int(candidates[0, 0]))
        values, candidates = runner.decode(np.array(ids[-1:]), np.array([len(ids) - 1]))
    stepwise = values.copy()
    if not np.isfinite(stepwise).all():
        raise BundleError(f"{bundle.model_path}: the model returns values that are not finite.")
    at_once = runner.prefill(1, ids, 0).values
    if not np.allclose(stepwise, at_once, rtol=0, atol=_TOLERANCE):
        raise BundleError(
            f"{bundle.model_path}: step by step the model gives other results than at once; "
            "this machine or its ONNX Runtime computes wrongly."
        )
    return ids[len(prompt.ids) :]
