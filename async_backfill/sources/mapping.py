"""A mapping in memory as a source."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K, Page, V

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MappingSource(Generic[K, V]):
    """Answers from ``mapping``, and scans it in its own order.

    The mapping is not copied: what changes in it is what the next load sees. A page of a scan that
    runs while keys are deleted may miss some; a backfill that misses a key costs one later load.
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
        """Return up to ``limit`` keys in the mapping's order; the cursor counts the keys seen."""
        seen = cursor if isinstance(cursor, int) else 0
        keys = tuple(islice(self._mapping, seen, seen + limit))
        return Page(keys, seen + limit if len(keys) == limit else None)
