"""The default model, run in every way that the engine runs it, says the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inference.bundle import Bundle, load_bundle
from inference.errors import BundleError
from inference.runner import CPU, Runner, TopK
from tests.inference.conftest import GPU_GRAPH

IDS = np.random.default_rng(5).integers(4, 12_000, 90)
SLOTS = 6
# In logits. With 8-bit weights results are the same to the last bit where MLAS adds in one order
# whatever the batch; a machine on which it does not may tip the rounding of a key or a value.
CLOSE = 0.02


@pytest.fixture(scope="module", params=[CPU, GPU_GRAPH], ids=["cpu", "gpu graph"])
def runner(bundle: Bundle, request: pytest.FixtureRequest) -> Iterator[Runner]:
    runner = Runner(bundle, slots=SLOTS, threads=2, device=request.param)
    yield runner
    runner.close()


def values(top: TopK, row: int = 0) -> npt.NDArray[Any]:
    logits: npt.NDArray[Any] = top.values[row].copy()
    return logits


def at_once(runner: Runner, length: int) -> npt.NDArray[Any]:
    """Logits after the first `length` tokens, in one prefill of the last slot."""
    return values(runner.prefill(SLOTS - 1, IDS[:length], 0))


def test_logits_come_in_falling_order_with_their_tokens(runner: Runner, bundle: Bundle) -> None:
    top = runner.prefill(0, IDS[:30], 0)
    assert top.values.shape == top.ids.shape == (1, runner.top_k)
    assert (np.diff(top.values[0]) <= 0).all()
    assert len(set(top.ids[0].tolist())) == runner.top_k
    assert top.ids.min() >= 0
    assert top.ids.max() < bundle.vocab_size


def test_a_prompt_in_pieces(runner: Runner) -> None:
    for start, stop in ((0, 7), (7, 8), (8, 60), (60, 90)):
        top = runner.prefill(1, IDS[start:stop].tolist(), start)
    np.testing.assert_allclose(values(top), at_once(runner, 90), atol=CLOSE)


def test_token_by_token(runner: Runner) -> None:
    runner.prefill(0, IDS[:1], 0)
    for place in range(1, 40):
        top = runner.decode(IDS[place : place + 1], np.array([place]))
        np.testing.assert_allclose(values(top), at_once(runner, place + 1), atol=CLOSE)


def test_chats_of_different_lengths_in_one_step(runner: Runner) -> None:
    lengths = np.array([40, 1, 89, 17, 60])
    for slot, length in enumerate(lengths):
        runner.prefill(slot, IDS[:length], 0)
    together = runner.decode(IDS[lengths], lengths).values.copy()
    for slot, length in enumerate(lengths):
        np.testing.assert_allclose(together[slot], at_once(runner, length + 1), atol=CLOSE)


def test_a_neighbour_s_prompt_does_not_disturb_a_chat(runner: Runner) -> None:
    """A chat decodes alone in slot 0 while a long prompt is being read into slot 1."""
    runner.prefill(0, IDS[:20], 0)
    runner.prefill(1, IDS[:30], 0)
    for place in range(20, 25):
        alone = runner.decode(IDS[place : place + 1], np.array([place]))
        np.testing.assert_allclose(values(alone), at_once(runner, place + 1), atol=CLOSE)
    top = runner.prefill(1, IDS[30:50], 30)
    np.testing.assert_allclose(values(top), at_once(runner, 50), atol=CLOSE)


def test_moved_saved_and_loaded(runner: Runner) -> None:
    runner.prefill(3, IDS[:50], 0)
    runner.move(3, 0, 50)
    snapshot = runner.save(3, 50)
    assert snapshot.length == 50
    wanted = values(runner.decode(IDS[50:51], np.array([50])))
    np.testing.assert_allclose(wanted, at_once(runner, 51), atol=CLOSE)

    for slot in range(SLOTS):  # all is overwritten by others
        runner.prefill(slot, IDS[::-1][:80], 0)
    runner.load(0, snapshot, 50)
    found = values(runner.decode(IDS[50:51], np.array([50])))
    np.testing.assert_allclose(found, wanted, atol=CLOSE)

    runner.load(2, snapshot, 30)  # as much of it as two prompts have in common
    found = values(runner.prefill(2, IDS[30:51], 30))
    np.testing.assert_allclose(found, wanted, atol=CLOSE)


@pytest.mark.parametrize("runner", [CPU], indirect=True)
def test_a_snapshot_has_one_byte_per_channel_and_position(runner: Runner, bundle: Bundle) -> None:
    runner.prefill(0, IDS[:50], 0)
    channels = 2 * bundle.n_layer * bundle.n_embd
    assert runner.save(0, 50).nbytes == 50 * channels


def test_after_a_rest_slots_are_filled_anew(runner: Runner) -> None:
    wanted = values(runner.prefill(0, IDS[:50], 0)).copy()
    runner.rest()
    np.testing.assert_array_equal(values(runner.prefill(0, IDS[:50], 0)), wanted)


def test_the_last_position_can_be_used(runner: Runner) -> None:
    full = np.resize(IDS, runner.n_ctx)
    runner.prefill(0, full[:-1], 0)
    top = values(runner.decode(full[-1:], np.array([runner.n_ctx - 1])))
    np.testing.assert_allclose(top, values(runner.prefill(1, full, 0)), atol=CLOSE)


def test_what_does_not_fit_is_refused(runner: Runner, bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="513 tokens after 0 do not fit 512 positions"):
        runner.prefill(0, np.resize(IDS, runner.n_ctx + 1), 0)
    with pytest.raises(ValueError, match="1 tokens after 512"):
        runner.prefill(0, [5], runner.n_ctx)
    with pytest.raises(ValueError, match="0 tokens"):
        runner.prefill(0, [], 3)
    with pytest.raises(ValueError, match="slot must be from 0 to 5, not 6"):
        runner.prefill(SLOTS, [5], 0)
    with pytest.raises(ValueError, match="up to 513 positions"):
        runner.decode(IDS[:1], np.array([runner.n_ctx]))
    with pytest.raises(ValueError, match="7 sequences"):
        runner.decode(IDS[:7], np.full(7, 3))
    with pytest.raises(ValueError, match="holds 10 positions, not 11"):
        runner.load(0, runner.save(0, 10), 11)
    with pytest.raises(ValueError, match="slots and threads"):
        Runner(bundle, slots=0, threads=1)


@pytest.mark.parametrize(
    "changes", [{"n_layer": 5}, {"n_layer": 7}, {"n_head": 3}, {"n_embd": 192}, {"n_ctx": 1024}]
)
def test_a_manifest_of_another_model_is_refused(bundle: Bundle, changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx: is no model of the shape and kind"):
        Runner(replace(bundle, **changes), slots=2, threads=1)


def test_a_model_that_onnx_runtime_cannot_load_is_named(bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    size = (copy / "model.onnx").stat().st_size
    (copy / "model.onnx").write_bytes(b"\0" * size)
    damaged = load_bundle(copy, verify=False)
    with pytest.raises(BundleError, match=r"model\.onnx: ONNX Runtime cannot load it"):
        Runner(damaged, slots=1, threads=1)
