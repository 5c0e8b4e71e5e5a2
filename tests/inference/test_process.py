"""What a process takes of the machine."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.process import (
    call_apart,
    mapped_file_let_go,
    memory_give_back,
    resident_mb,
)
from inference.slots import HostSlots, KVSnapshot

PIECE = 60_000  # bytes: less than what malloc(3) maps on its own
LARGE = 100  # MB


def resident_around() -> list[float]:
    """MiB resident: with much in memory, after letting go of it, after giving it back."""
    figures = []
    pieces = [bytes(PIECE) for _ in range(LARGE * 2**20 // PIECE)]
    figures.append(resident_mb(os.getpid()) or 0.0)
    last = pieces[-1]  # at the end of the heap: what is below cannot shrink away by itself
    pieces.clear()
    figures.append(resident_mb(os.getpid()) or 0.0)
    memory_give_back()
    figures.append(resident_mb(os.getpid()) or 0.0)
    assert len(last) == PIECE
    return figures


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc_trim(3)")
def test_freed_memory_goes_back_to_the_system() -> None:
    full, freed, given_back = call_apart(resident_around)
    assert freed > full - LARGE / 2
    assert given_back < full - LARGE / 2


def resident_around_mapping(path: Path) -> list[float]:
    """MiB resident: with all of a file mapped and read, and after letting go of it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) == 7 * (len(mapped) // mmap.PAGESIZE)
        figures = [resident_mb(os.getpid()) or 0.0]
        mapped_file_let_go(path)
        figures.append(resident_mb(os.getpid()) or 0.0)
        assert mapped[-1] == mapped[0] == 7
        return figures


def resident_around_rest() -> list[float]:
    """MiB resident: with slots full, and after a rest of theirs."""
    slots = HostSlots((2, 1, 1, LARGE, 2**19), np.dtype(np.int8))
    full = KVSnapshot(LARGE, np.ones((2, 1, LARGE, 2**19), np.int8))
    slots.load(0, full, LARGE)
    figures = [resident_mb(os.getpid()) or 0.0]
    slots.rest()
    figures.append(resident_mb(os.getpid()) or 0.0)
    slots.load(0, full, 1)
    assert slots.save(0, 2).data.sum(axis=-1).tolist() == [[[2**19, 0]]] * 2
    return figures


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's madvise(2)")
def test_slots_that_nobody_uses_take_no_memory() -> None:
    full, rested = call_apart(resident_around_rest)
    assert rested < full - 0.9 * LARGE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's madvise(2)")
def test_a_mapped_file_that_was_read_need_not_stay_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(b"\x07" * (LARGE * 2**20))
    read, let_go = call_apart(resident_around_mapping, path)
    assert let_go < read - LARGE / 2


def test_a_loaded_model_leaves_nothing_in_the_home_directory(tmp_path: Path) -> None:
    """Nor reports to anybody: ONNX Runtime keeps there what it would send."""
    code = (
        "import time\n"
        "from pathlib import Path\n"
        "from inference.engine import Engine, EngineConfig\n"
        "engine = Engine(EngineConfig(Path('inference/bundles/default')))\n"
        "engine.load()\n"
        "time.sleep(0.5)\n"
        "engine.close()\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORT_")}
    subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HOME": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []
