"""Whether a bundle says the same on a GPU as on the processor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from inference.bundle import Bundle
from inference.errors import BundleError
from inference.prompt import PromptRenderer, Turn
from inference.runner import Runner, TopK

PERSONA = ("i have a dog.", "i work in a bakery.")
TURNS = (Turn("person", "hello! how are you today?"),)
# Of the tokens that either finds best: the share that both do, and how their logits go together
# (Pearson's r). 8 and 16 bits leave more than 0.9 and 0.99, even of random weights.
_SAME_TOKENS = 0.8
_SAME_LOGITS = 0.97


def check_agreement(runner: Runner, bundle: Bundle, *, threads: int) -> None:
    """Compare a runner, whose slots it uses, with the processor's. Raises BundleError."""
    ids = PromptRenderer.from_bundle(bundle).render(PERSONA, TURNS, reserve=1).ids
    slots = min(2, runner.slots)
    reference = Runner(bundle, slots=slots, threads=threads)
    try:
        for ours, theirs in zip(
            _sayings(runner, ids, slots), _sayings(reference, ids, slots), strict=True
        ):
            _compare(ours, theirs, bundle)
    finally:
        reference.close()


def _sayings(runner: Runner, ids: Sequence[int], slots: int) -> Iterator[TopK]:
    """What it says of a prompt, whole and in two pieces; of a step of all slots together; and of
    one after what was in them has been saved, overwritten, loaded and moved."""
    first, last = 0, slots - 1
    end, middle = len(ids) - 2, len(ids) // 2
    yield runner.prefill(first, ids[:end], 0)
    runner.prefill(last, ids[:middle], 0)
    yield runner.prefill(last, ids[middle:end], middle)
    yield runner.decode(np.full(slots, ids[end]), np.full(slots, end))
    saved = runner.save(last, end + 1)
    for slot in range(slots):
        runner.prefill(slot, ids[::-1], 0)
    runner.load(first, saved, end + 1)
    runner.move(first, last, end + 1)
    yield runner.decode(np.full(slots, ids[end + 1]), np.full(slots, end + 1))


def _compare(ours: TopK, theirs: TopK, bundle: Bundle) -> None:
    for row in range(len(ours.ids)):
        _, here, there = np.intersect1d(ours.ids[row], theirs.ids[row], return_indices=True)
        together = np.corrcoef(ours.values[row, here], theirs.values[row, there])[0, 1]
        if len(here) < _SAME_TOKENS * theirs.ids.shape[1] or not together > _SAME_LOGITS:
            raise BundleError(
                f"{bundle.gpu_path}: the GPU says something else than the processor does."
            )
