"""Contract tests for a scan."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Generic

from anyio import fail_after

from async_backfill.contracts import K, Page, Scan
from async_backfill.testing._calls import PATIENCE, give_up, moments, together
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_CURSORS: Final = 5


class ScanContract(Generic[K]):
    """Tests of the promises of `Scan`; inherit from it, and give the fixture ``scan``.

    Use it as `SourceContract`, in the same class or in one of its own::

        @pytest.mark.anyio
        class TestMyScan(ScanContract[str]):
            keys = ["apple", "pear"]

            @pytest.fixture
            async def scan(self):
                async with MySource(...) as source:
                    yield source
    """

    keys: Collection[K]
    """All keys of the scan, three or more, in any order."""

    async def test_pages_of_any_size_have_each_key_once(self, scan: Scan[K]) -> None:
        for limit in self._limits():
            found = await self._rest(scan, None, limit)
            same(len(found), len(set(found)), f"no key comes twice, in pages of {limit}")
            same(set(found), set(self.keys), f"no key is missed, in pages of {limit}")

    async def test_no_page_has_more_keys_than_its_limit(self, scan: Scan[K]) -> None:
        for limit in self._limits():
            for page in await self._pages(scan, None, limit):
                holds(f"a page of {limit} has {len(page.keys)} keys", kept=len(page.keys) <= limit)

    async def test_the_order_is_the_same_each_time_and_for_pages_of_any_size(self, scan: Scan[K]) -> None:
        order = await self._rest(scan, None, len(self.keys))
        for limit in self._limits():
            same(await self._rest(scan, None, limit), order, f"pages of {limit} are in the same order")

    async def test_the_size_of_the_pages_may_change_on_the_way(self, scan: Scan[K]) -> None:
        order = await self._rest(scan, None, len(self.keys))
        first = await self._page(scan, None, 1)
        rest = [] if first.cursor is None else await self._rest(scan, first.cursor, 2)
        same([*first.keys, *rest], order, "a page of one and then pages of two have all keys in order")

    async def test_a_scan_goes_on_from_any_of_its_cursors_as_often_as_asked(self, scan: Scan[K]) -> None:
        order = await self._rest(scan, None, len(self.keys))
        pages = [page for page in await self._pages(scan, None, 1) if page.cursor is not None]
        for number in range(0, len(pages), len(pages) // _CURSORS + 1):
            seen = [key for page in pages[: number + 1] for key in page.keys]
            for _ in range(2):
                rest = await self._rest(scan, pages[number].cursor, 2)
                same([*seen, *rest], order, "the rest of the keys follows a cursor")

    async def test_a_scan_begins_anew_without_a_cursor(self, scan: Scan[K]) -> None:
        first = await self._page(scan, None, 2)
        again = await self._page(scan, None, 2)
        same(list(again.keys), list(first.keys), "without a cursor the first keys come")

    async def test_scans_at_the_same_time_do_not_mix(self, scan: Scan[K]) -> None:
        order = await self._rest(scan, None, len(self.keys))
        scans = [partial(self._rest, scan, None, limit) for limit in (1, 2, 3, 1, 2)]
        for found in await together(*scans):
            same(found, order, "each of several scans at the same time has all keys in order")

    async def test_a_cancelled_page_can_be_asked_for_again(self, scan: Scan[K]) -> None:
        order = await self._rest(scan, None, len(self.keys))
        first = await self._page(scan, None, 1)
        page = partial(self._page, scan, first.cursor, 2)
        for moment in await moments(page):
            await give_up(page, moment)
            rest = await self._rest(scan, first.cursor, len(self.keys))
            same([*first.keys, *rest], order, "a scan goes on after a cancelled page")

    def _limits(self) -> Sequence[int]:
        count = len(self.keys)
        return sorted({1, 2, 3, count - 1, count, count + 1, 1000})

    async def _page(self, scan: Scan[K], cursor: object | None, limit: int) -> Page[K]:
        with fail_after(PATIENCE):
            return await scan.scan(cursor, limit)

    async def _pages(self, scan: Scan[K], cursor: object | None, limit: int) -> Sequence[Page[K]]:
        """Return the pages after ``cursor``; fail for a scan that does not end."""
        pages: list[Page[K]] = []
        while not pages or pages[-1].cursor is not None:
            holds(f"{len(pages)} pages of {limit} do not end", kept=len(pages) <= 2 * len(self.keys) + 10)
            pages.append(await self._page(scan, pages[-1].cursor if pages else cursor, limit))
        return pages

    async def _rest(self, scan: Scan[K], cursor: object | None, limit: int) -> Sequence[K]:
        """Return the keys after ``cursor``."""
        return [key for page in await self._pages(scan, cursor, limit) for key in page.keys]
