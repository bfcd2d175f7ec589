"""Keys that are told apart by their type as well: ``1`` is not ``True``, nor ``1.0``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K, Page, Scan, Source, V

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.outcomes import Failed


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TypedKey(Generic[K]):
    """Stands for ``key`` in a cache, equal only to a key of the same type.

    Only the key's own type is looked at: ``(1,)`` and ``(True,)`` are one key still.
    """

    key: K

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TypedKey):
            return NotImplemented
        return type(self.key) is type(other.key) and bool(self.key == other.key)

    def __hash__(self) -> int:
        return hash((type(self.key), self.key))

    def __repr__(self) -> str:
        return f"TypedKey({self.key!r})"


class TypedSource(Generic[K, V]):
    """Answers for `TypedKey` keys from ``source``, which is asked for the plain keys.

    Keys that the source itself takes for one, such as ``1`` and ``True`` in a dict, are never in the
    same call.
    """

    def __init__(self, source: Source[K, V]) -> None:
        self._source = source

    async def load_many(self, keys: Sequence[TypedKey[K]], /) -> Mapping[TypedKey[K], V | Failed]:
        """Return the values of ``keys``, as the source's answers for the plain keys."""
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
            left = later
        return answers


class TypedScan(Generic[K]):
    """Scans ``scan`` for `TypedKey` keys."""

    def __init__(self, scan: Scan[K]) -> None:
        self._scan = scan

    async def scan(self, cursor: object | None, limit: int, /) -> Page[TypedKey[K]]:
        """Return a page of the scan's keys."""
        page = await self._scan.scan(cursor, limit)
        return Page(tuple(TypedKey(key) for key in page.keys), page.cursor)
