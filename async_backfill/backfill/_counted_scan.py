"""A scan whose pages and keys are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K

if TYPE_CHECKING:
    from async_backfill.contracts import Page, Scan


class CountedScan(Generic[K]):
    """Passes on the pages of ``scan``, and counts them.

    ``pages``, ``failures``
        how often the scan was asked for a page, and how often it failed or was given up.
    ``keys``
        the keys on all pages.
    """

    def __init__(self, scan: Scan[K]) -> None:
        self._scan = scan
        self.pages = 0
        self.failures = 0
        self.keys = 0

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return a page of the scan."""
        self.pages += 1
        try:
            page = await self._scan.scan(cursor, limit)
        except BaseException:
            self.failures += 1
            raise
        self.keys += len(page.keys)
        return page
