"""Contract tests for a source whose rows change while they are read in ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import fail_after

from async_backfill.contracts import K, Rows, V
from async_backfill.testing._calls import PATIENCE
from async_backfill.testing._claims import holds, same
from async_backfill.testing._rows_contract import RowsContract, leave

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence


class ChangingRowsContract(RowsContract[K, V]):
    """Tests of the promises of `Rows` while rows come and go; for sources that can change.

    Give the fixtures ``insert`` and ``delete`` as well: async functions that add a row to the source, called
    with key and value, and that remove one, called with its key.
    """

    spare: Mapping[K, V]
    """Rows that the source does not have yet: two or more; best some before, between and after `known`."""

    async def test_rows_that_come_and_go_meanwhile_disturb_no_other(
        self,
        ranged: Rows[K, V],
        insert: Callable[[K, V], Awaitable[None]],
        delete: Callable[[K], Awaitable[None]],
    ) -> None:
        order = [key for key, _ in await self._read(ranged, len(self.known))]
        passing, spare = {order[0], order[len(order) // 2]}, list(self.spare.items())
        seen: list[tuple[K, V]] = []
        with fail_after(PATIENCE):
            async for page in ranged.rows(page=1):
                seen.extend(page.items())
                holds("the pages do not end", kept=len(seen) <= len(order) + len(self.spare))
                if spare:
                    await insert(*spare.pop())
                for key in passing & page.keys():
                    await delete(key)
        self._lasting(seen, passing)

    async def test_rows_that_came_after_the_cuts_are_in_exactly_one_shard(
        self, ranged: Rows[K, V], insert: Callable[[K, V], Awaitable[None]]
    ) -> None:
        cuts = await self._cuts(ranged, 3)
        for row in self.spare.items():
            await insert(*row)
        found = await self._shards(ranged, cuts)
        same(len(found), len(dict(found)), "no row is in two shards")
        same(dict(found), {**self.known, **self.spare}, "the first and the last shard are open")

    async def test_cuts_and_cursors_hold_when_their_rows_are_gone(
        self, ranged: Rows[K, V], delete: Callable[[K], Awaitable[None]]
    ) -> None:
        order = await self._read(ranged, len(self.known))
        cuts = await self._cuts(ranged, len(self.known))
        first, second = (await self._read_pages(ranged, 1))[:2]
        gone = {*first, *second}
        for key in gone:
            await delete(key)
        left = [row for row in order if row[0] not in gone]
        same(await self._shards(ranged, cuts), left, "the shards have the rows that are left")
        same(await self._read(ranged, 2, first.cursor), left, "behind a row that is gone are the others")
        found = await self._read(ranged, 2, None, second.cursor)
        same(found, [], "up to a row that is gone there is none of the others")

    async def test_a_page_is_read_when_it_is_asked_for(
        self,
        ranged: Rows[K, V],
        insert: Callable[[K, V], Awaitable[None]],
        delete: Callable[[K], Awaitable[None]],
    ) -> None:
        order = await self._read(ranged, len(self.known))
        (gone, _), (changed, old) = order[-1], order[-2]
        new = next((value for value in (*self.known.values(), *self.spare.values()) if value != old), old)
        seen: list[tuple[K, V]] = []
        with fail_after(PATIENCE):
            pages = ranged.rows(page=1)
            seen.extend((await anext(pages)).items())
            await delete(gone)
            await delete(changed)
            await insert(changed, new)
            seen.extend([row async for page in pages for row in page.items()])
            await leave(pages)
        same(seen, [*order[:-2], (changed, new)], "a page shows the rows as they are when it is asked for")

    def _lasting(self, seen: Sequence[tuple[K, V]], passing: set[K]) -> None:
        same(len(seen), len(dict(seen)), "no row comes twice")
        found = {key: value for key, value in seen if key in self.known and key not in passing}
        same(found, {key: self.known[key] for key in self.known if key not in passing}, "no row is missed")
