"""Typed keys, which differ when their types differ: ``1``, ``True`` and ``1.0`` are three keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._common.typed_key import TypedKey
from async_backfill.contracts import K, LimitedSource, Page, Scan, Source, V

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.outcomes import Failed

__all__ = ["TypedKey", "TypedScan", "TypedSource"]


class TypedSource(LimitedSource, Generic[K, V]):
    """A source for `TypedKey` keys, which asks ``source`` for the plain keys.

    Plain keys that are equal, such as ``1`` and ``True``, never go into the same call.
    """

    def __init__(self, source: Source[K, V]) -> None:
        self._source = source
        if isinstance(source, LimitedSource):
            self.call_limits = source.call_limits

    async def load_many(self, keys: Sequence[TypedKey[K]], /) -> Mapping[TypedKey[K], V | Failed]:
        """Return the values of ``keys``: the answers of ``source`` for the plain keys."""
        answers: dict[TypedKey[K], V | Failed] = {}
        left = list(keys)
        while left:
            distinct: dict[K, TypedKey[K]] = {}
            later = []
            for key in left:
                if key.key in distinct:
                    later.append(key)
                else:
                    distinct[key.key] = key
            found = await self._source.load_many([key.key for key in distinct.values()])
            answers.update({key: found[plain] for plain, key in distinct.items() if plain in found})
            if len(answers) < len(keys):  # who asked sees that there are others: it may be an error
                answers.update({TypedKey(plain): found[plain] for plain in found if plain not in distinct})
            left = later
        return answers


class TypedScan(Generic[K]):
    """A scan of `TypedKey` keys, over the plain keys of ``scan``."""

    def __init__(self, scan: Scan[K]) -> None:
        self._scan = scan

    async def scan(self, cursor: object | None, limit: int, /) -> Page[TypedKey[K]]:
        """Return a page of ``scan``, each key wrapped."""
        page = await self._scan.scan(cursor, limit)
        return Page(tuple(TypedKey(key) for key in page.keys), page.cursor)
