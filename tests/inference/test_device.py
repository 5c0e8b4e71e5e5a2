"""What runs a bundle: a GPU only where one works and says what the processor says."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from inference.agreement import check_agreement
from inference.bundle import MODEL_FILE, Bundle
from inference.device import open_runner
from inference.errors import BundleError
from inference.params import EngineConfig
from inference.runner import CPU, CUDA, Device, Runner, TopK
from inference.slots import KVSnapshot
from tests.inference.conftest import GPU_GRAPH


class Forgetful(Runner):
    """Loads nothing of what it has saved."""

    def load(self, slot: int, snapshot: KVSnapshot, length: int) -> None:
        pass


class Blind(Runner):
    """Reads but half of each sequence when several are decoded."""

    def decode(self, token_ids: Any, lengths: Any) -> TopK:
        return super().decode(token_ids, lengths // 2)


class Immobile(Runner):
    def move(self, source: int, target: int, length: int) -> None:
        pass


def gpu_graph(bundle: Bundle, kind: type[Runner] = Runner, slots: int = 3) -> Runner:
    return kind(bundle, slots=slots, threads=1, device=GPU_GRAPH)


@pytest.mark.parametrize("slots", [1, 3])
def test_the_graph_for_gpus_says_what_the_processor_s_says(bundle: Bundle, slots: int) -> None:
    check_agreement(gpu_graph(bundle, slots=slots), bundle, threads=1)


@pytest.mark.parametrize("kind", [Forgetful, Blind, Immobile])
def test_what_computes_otherwise_is_found_out(bundle: Bundle, kind: type[Runner]) -> None:
    with pytest.raises(BundleError, match=r"gpu\.onnx: the GPU says something else"):
        check_agreement(gpu_graph(bundle, kind), bundle, threads=1)


def test_other_weights_are_found_out(bundle: Bundle, tmp_path: Path) -> None:
    other = Path(shutil.copytree(bundle.path, tmp_path / "other"))
    data = np.fromfile(other / "model.onnx.data", np.int8)
    np.random.default_rng(0).shuffle(data[: len(data) // 2])
    data.tofile(other / "model.onnx.data")
    with pytest.raises(BundleError, match="the GPU says something else"):
        check_agreement(gpu_graph(replace(bundle, path=other)), bundle, threads=1)


def test_without_a_runtime_for_gpus_the_processor_answers(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    if CUDA.provider in ort.get_available_providers():
        pytest.skip("the ONNX Runtime of this machine is the one for GPUs")
    runner = open_runner(bundle, slots=1, threads=1, device="auto")
    assert runner.device == "cpu"
    assert not caplog.records


def test_a_gpu_that_does_not_work_is_not_used(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As with a runtime for GPUs on a machine that has none."""
    monkeypatch.setattr("inference.device._built_for_cuda", lambda: True)
    without = replace(bundle, files={MODEL_FILE: bundle.files[MODEL_FILE]})
    with caplog.at_level(logging.WARNING):
        assert open_runner(without, slots=1, threads=1, device="auto").device == "cpu"
    assert "The processor answers, not the GPU." in caplog.text
    assert "has no gpu.onnx" in caplog.text


class Failing(Runner):
    """Reads prompts, and has no kernel for what comes then."""

    def decode(self, token_ids: Any, lengths: Any) -> TopK:
        raise RuntimeError("CUDA error: no kernel image is available\nand more")


def test_a_gpu_that_fails_at_work_is_not_used(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def make(bundle: Bundle, *, device: Device = CPU, **options: Any) -> Runner:
        kind = Failing if device is GPU_GRAPH else Runner
        return kind(bundle, device=device, **options)

    monkeypatch.setattr("inference.device._built_for_cuda", lambda: True)
    monkeypatch.setattr("inference.device.CUDA", GPU_GRAPH)
    monkeypatch.setattr("inference.device.Runner", make)
    with caplog.at_level(logging.WARNING):
        assert type(open_runner(bundle, slots=2, threads=1, device="auto")) is Runner
    assert "gpu.onnx: the GPU cannot run it (CUDA error: no kernel image is" in caplog.text
    with pytest.raises(BundleError, match=r"gpu\.onnx: the GPU cannot run it"):
        open_runner(bundle, slots=2, threads=1, device="cuda")


def test_who_asks_for_a_gpu_is_told_that_there_is_none(bundle: Bundle) -> None:
    if CUDA.provider in ort.get_available_providers():
        pytest.skip("the ONNX Runtime of this machine is the one for GPUs")
    with pytest.raises(BundleError, match=r"gpu\.onnx: wants the ONNX Runtime for GPUs"):
        open_runner(bundle, slots=1, threads=1, device="cuda")


def test_a_device_that_there_is_not(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="device must be one of auto, cpu, cuda, not 'tpu'"):
        EngineConfig(bundle.path, device="tpu")
