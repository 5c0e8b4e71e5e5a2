"""Keys and values of recent conversations, kept so that a new turn costs only its new tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.slots import KVSnapshot


@dataclass(frozen=True, slots=True)
class Entry:
    """A snapshot, and the tokens whose keys and values it holds."""

    tokens: tuple[int, ...]
    snapshot: KVSnapshot


class KVCache:
    """Least recently used entries leave when `budget` bytes are full."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry in place of an older one of the same key."""
        self.drop(key)
        if entry.snapshot.nbytes > self.budget:
            return
        self._entries[key] = entry
        self.used += entry.snapshot.nbytes
        while self.used > self.budget:
            _, oldest = self._entries.popitem(last=False)
            self.used -= oldest.snapshot.nbytes

    def find(self, key: str, tokens: Sequence[int]) -> tuple[Entry, int] | None:
        """The entry of a key and how many leading `tokens` it shares; None when it is no use."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        shared = _common_prefix(entry.tokens, tokens)
        return (entry, shared) if shared else None

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.used = 0

    def drop(self, key: str) -> None:
        """Forget a key."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.used -= entry.snapshot.nbytes


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    length = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        length += 1
    return length
