"""Whether a bundle works on this machine: all that a server loads of it, and a few steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.agreement import PERSONA, TURNS
from inference.bundle import Bundle
from inference.errors import BundleError
from inference.model import ModelRunner, load_model
from inference.params import EngineConfig
from inference.prompt import Prompt

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
    """Load a bundle as a server does, every file of it checked, and let it speak; on a device as
    `EngineConfig` takes it.

    Raises BundleError with the file and the reason.
    """
    model = load_model(EngineConfig(path, max_batch=2, threads=threads, device=device), None)
    prompt = model.renderer.render(PERSONA, TURNS, reserve=_STEPS)
    try:
        reply = _speak(model.bundle, model.runner, prompt)
    finally:
        model.runner.close()
    return SelfTest(
        bundle=model.bundle,
        bytes=sum(file.bytes for file in model.bundle.files.values()),
        load_seconds=model.load_seconds,
        device=model.runner.device,
        reply=model.renderer.tokenizer.decode(reply).strip(),
    )


def _speak(bundle: Bundle, runner: ModelRunner, prompt: Prompt) -> list[int]:
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
