"""A source that reads a mapping in memory."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K, Page, V

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MappingSource"]


class MappingSource(Generic[K, V]):
    """A source and scan over ``mapping``, in its own order.

    The mapping is not copied, so the next load sees its changes. A scan may miss keys when others are
    deleted meanwhile; a key that a backfill misses costs one later load.
    """

    def __init__(self, mapping: Mapping[K, V]) -> None:
        self._mapping = mapping

    def __len__(self) -> int:
        return len(self._mapping)

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V]:
        """Return the values of those ``keys`` that the mapping has."""
        mapping = self._mapping
        return {key: mapping[key] for key in keys if key in mapping}

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return up to ``limit`` keys in the mapping's order; the cursor is the number of keys seen."""
        seen = cursor if isinstance(cursor, int) else 0
        keys = tuple(islice(self._mapping, seen, seen + limit))
        return Page(keys, seen + limit if len(keys) == limit else None)
