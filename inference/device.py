"""On what a bundle runs: on the processor, or on a GPU where there is one that works.

A GPU has its own graph of the bundle, in 16-bit floats. It is trusted only after it has said the
same as the processor's: whoever has no GPU, too old a driver or a card that computes otherwise has
a server that answers all the same.
"""

from __future__ import annotations

import logging

from inference.agreement import check_agreement
from inference.bundle import Bundle
from inference.errors import BundleError
from inference.runner import CUDA, Runner

logger = logging.getLogger(__name__)


def open_runner(bundle: Bundle, *, slots: int, threads: int, device: str) -> Runner:
    """A runner on `device`: "cpu", "cuda", or "auto", a GPU that works and else the processor.

    Raises BundleError when the bundle cannot run there; with "auto" the log has the reason.
    """
    if device == "cpu" or (device == "auto" and not _built_for_cuda()):
        return Runner(bundle, slots=slots, threads=threads)
    try:
        return _gpu_runner(bundle, slots=slots, threads=threads)
    except BundleError as error:
        if device == "cuda":
            raise
        logger.warning("The processor answers, not the GPU. %s", error)
        return Runner(bundle, slots=slots, threads=threads)


def _built_for_cuda() -> bool:
    """Whether the ONNX Runtime that is installed is the one for NVIDIA's GPUs."""
    import onnxruntime as ort

    return CUDA.provider in ort.get_available_providers()


def _gpu_runner(bundle: Bundle, *, slots: int, threads: int) -> Runner:
    runner = Runner(bundle, slots=slots, threads=threads, device=CUDA)
    try:
        check_agreement(runner, bundle, threads=threads)
    except BundleError:
        runner.close()
        raise
    except Exception as error:  # ONNX Runtime's: a kernel that is missing, too little memory
        runner.close()
        reason = str(error).partition("\n")[0]
        raise BundleError(f"{bundle.gpu_path}: the GPU cannot run it ({reason}).") from error
    logger.info("The GPU answers.")
    return runner
