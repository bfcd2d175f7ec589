"""Contract tests for a keyset scan, which misses nothing while keys are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.contracts import K, Scan
from async_backfill.testing._claims import same
from async_backfill.testing._scan_contract import ScanContract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class KeysetScanContract(ScanContract[K]):
    """Tests of the promises of `Scan` while keys are deleted; for sources that can change.

    Give the fixture ``delete`` as well: an async function that deletes one key from the source. A scan
    that counts rows (OFFSET) fails here, because it misses keys.
    """

    async def test_when_the_key_at_the_cursor_is_deleted_no_other_is_missed(
        self, scan: Scan[K], delete: Callable[[K], Awaitable[None]]
    ) -> None:
        order = await self._rest(scan, None, len(self.keys))
        page = await self._page(scan, None, 2)
        await delete(page.keys[-1])
        rest = await self._rest(scan, page.cursor, 2)
        same([*page.keys, *rest], order, "after the deletion the other keys follow")

    async def test_when_all_keys_of_a_page_are_deleted_no_other_is_missed(
        self, scan: Scan[K], delete: Callable[[K], Awaitable[None]]
    ) -> None:
        order = await self._rest(scan, None, len(self.keys))
        page = await self._page(scan, None, 2)
        for key in page.keys:
            await delete(key)
        rest = await self._rest(scan, page.cursor, 2)
        same([*page.keys, *rest], order, "after the deletion the other keys follow")

    async def test_a_key_that_is_deleted_ahead_of_the_cursor_does_not_come(
        self, scan: Scan[K], delete: Callable[[K], Awaitable[None]]
    ) -> None:
        order = await self._rest(scan, None, len(self.keys))
        page = await self._page(scan, None, 1)
        await delete(order[-1])
        rest = await self._rest(scan, page.cursor, 1)
        same([*page.keys, *rest], order[:-1], "all keys but the deleted one come")
