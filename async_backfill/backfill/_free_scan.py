"""A scan that costs nothing, because its keys are held in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K

if TYPE_CHECKING:
    from async_backfill.contracts import Page, Scan


class FreeScan(Generic[K]):
    """``scan``, to be asked without a permit as well, and for large pages.

    So a backfill that there is no permit for can be told from one that has nothing to load.
    """

    def __init__(self, scan: Scan[K]) -> None:
        self._scan = scan

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return a page of the scan."""
        return await self._scan.scan(cursor, limit)
