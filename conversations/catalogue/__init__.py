"""The built-in characters: a bank of hand-written lines and what makes a character of them.

Pure data and pure functions, without Django: `characters(count=3)` works in any Python.
"""

from conversations.catalogue.bank import Bank, CatalogueError, Trait, load_bank
from conversations.catalogue.generator import DEFAULT_COUNT, DEFAULT_SEED, Character, characters

__all__ = [
    "DEFAULT_COUNT",
    "DEFAULT_SEED",
    "Bank",
    "CatalogueError",
    "Character",
    "Trait",
    "characters",
    "load_bank",
]
