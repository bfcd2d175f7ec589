"""A key that is told apart by its type too; public as `async_backfill.sources.typed.TypedKey`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from async_backfill.contracts import K


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TypedKey(Generic[K]):
    """A wrapper around ``key`` that is equal only to a wrapped key of the same type.

    Only the type of the key itself counts: ``(1,)`` and ``(True,)`` are still one key.
    """

    # A wrapper and not a setting, so that a cache without typed keys pays nothing: decision 13 in notes.md.

    key: K

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TypedKey):
            return NotImplemented
        return type(self.key) is type(other.key) and bool(self.key == other.key)

    def __hash__(self) -> int:
        return hash((type(self.key), self.key))

    def __repr__(self) -> str:
        return f"TypedKey({self.key!r})"
