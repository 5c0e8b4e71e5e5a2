from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.bundle import GPU_FILE, Bundle, load_bundle
from inference.engine import Engine
from inference.params import EngineConfig
from inference.prompt import PromptRenderer
from inference.runner import CPU, Device

DEFAULT_BUNDLE = Path(__file__).resolve().parents[2] / "inference" / "bundles" / "default"
# What a GPU runs, with its keys and values in memory of ONNX Runtime's, run by the processor.
GPU_GRAPH = Device("cpu", CPU.provider, GPU_FILE)
PERSONA = ["I drive a night bus.", "My cat hates boats."]


async def until_idle(engine: Engine) -> None:
    """Wait until nobody is being answered and nobody waits."""
    async with asyncio.timeout(10):
        while engine.stats().running or engine.stats().waiting:
            await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return load_bundle(DEFAULT_BUNDLE)


@pytest.fixture(scope="session")
def renderer(bundle: Bundle) -> PromptRenderer:
    return PromptRenderer.from_bundle(bundle)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The default bundle with room for four chats and four waiting."""
    engine = Engine(EngineConfig(DEFAULT_BUNDLE, max_batch=4, max_queue=4, threads=1))
    yield engine
    engine.close()
