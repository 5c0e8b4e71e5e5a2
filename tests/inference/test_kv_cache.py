"""Which keys and values are kept, and what of them is of use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inference.kv_cache import Entry, KVCache
from inference.params import EngineConfig
from inference.slots import KVSnapshot


def entry(*tokens: int, size: int = 100) -> Entry:
    return Entry(tokens, KVSnapshot(len(tokens), np.zeros(size, np.int8)))


def test_the_common_beginning_is_found() -> None:
    cache = KVCache(1000)
    cache.put("a", entry(1, 2, 3, 4))
    for tokens, shared in (((1, 2, 3, 4, 5), 4), ((1, 2, 9), 2), ((1, 2), 2)):
        found = cache.find("a", tokens)
        assert found is not None
        assert found[1] == shared
    assert cache.find("a", (9, 2, 3)) is None
    assert cache.find("b", (1, 2, 3)) is None


def test_the_least_recently_used_leave_when_the_budget_is_full() -> None:
    cache = KVCache(300)
    for key in "abc":
        cache.put(key, entry(1))
    cache.find("a", (1,))
    cache.put("d", entry(1))
    assert [key for key in "abcd" if cache.find(key, (1,))] == ["a", "c", "d"]
    assert (len(cache), cache.used) == (3, 300)


def test_a_key_is_kept_once_and_what_is_larger_than_the_budget_not_at_all() -> None:
    cache = KVCache(300)
    cache.put("a", entry(1, size=200))
    cache.put("a", entry(2, size=250))
    assert (len(cache), cache.used) == (1, 250)
    cache.put("a", entry(3, size=301))
    assert (len(cache), cache.used) == (0, 0)


def test_a_budget_of_nothing_keeps_nothing() -> None:
    cache = KVCache(0)
    cache.put("a", entry(1))
    assert len(cache) == 0


def test_without_a_size_it_takes_a_part_of_the_memory() -> None:
    sizes = [EngineConfig(Path(), kv_cache_mb=size).kv_cache_bytes for size in (0, 64, None)]
    assert sizes[:2] == [0, 64 * 2**20]
    assert 0 < sizes[2] <= 2**31
