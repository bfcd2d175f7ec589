"""Contract tests for a source that reads its rows in ranges."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Generic

from anyio import fail_after

from async_backfill._common.key_codec import KeyCodec
from async_backfill.contracts import K, RowPage, Rows, V
from async_backfill.testing._calls import PATIENCE, give_up, moments, together
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

_CURSORS: Final = 5


class RowsContract(Generic[K, V]):
    """Tests of the promises of `Rows`; inherit from it, and give the fixture ``ranged``.

    Use it as `SourceContract`, in the same class or in one of its own::

        @pytest.mark.anyio
        class TestMyRows(RowsContract[str, int]):
            known = {"apple": 1, "fig": 2, "pear": 3}

            @pytest.fixture
            async def ranged(self):
                async with MySource(...) as source:
                    yield source

    How even the cuts are is not tested: a source may know nothing of it.
    """

    known: Mapping[K, V]
    """All rows of the source: three or more, in any order."""

    async def test_pages_of_any_size_have_each_row_once(self, ranged: Rows[K, V]) -> None:
        for size in self._sizes():
            self._complete(await self._read(ranged, size), f"in pages of {size}")

    async def test_a_page_has_a_row_and_no_more_than_its_size(self, ranged: Rows[K, V]) -> None:
        for size in self._sizes():
            for page in await self._read_pages(ranged, size):
                count = len(page) + len(page.failed)
                holds(f"a page of {size} has {count} rows", kept=1 <= count <= size)

    async def test_the_order_is_the_same_each_time_and_for_pages_of_any_size(
        self, ranged: Rows[K, V]
    ) -> None:
        order = await self._read(ranged, len(self.known))
        for size in self._sizes():
            same(await self._read(ranged, size), order, f"pages of {size} are in the same order")

    async def test_between_two_cursors_are_the_rows_up_to_the_second(self, ranged: Rows[K, V]) -> None:
        places, rows = await self._places(ranged)
        for begin, first in places:
            for end, last in places[1:]:
                if first <= last:
                    found = await self._read(ranged, 2, begin, end)
                    promise = "the row at `after` does not come, the one at `until` does"
                    same(found, rows[first:last], promise)

    async def test_a_cursor_holds_as_often_as_asked_and_outlives_its_process(
        self, ranged: Rows[K, V]
    ) -> None:
        places, rows = await self._places(ranged)
        for cursor, first in places:
            kept = cursor if cursor is None else _kept(cursor)
            for after in (cursor, kept, cursor):
                found = await self._read(ranged, 2, after)
                same(found, rows[first:], "the rest of the rows follows a cursor, also one that was kept")

    async def test_each_row_is_in_exactly_one_of_the_shards(self, ranged: Rows[K, V]) -> None:
        order = await self._read(ranged, len(self.known))
        for number in (1, 2, 3, len(self.known), 2 * len(self.known) + 1):
            cuts = await self._cuts(ranged, number)
            holds(f"between {number} shards are {len(cuts)} cuts", kept=len(cuts) < number)
            found = await self._shards(ranged, cuts)
            same(found, order, f"the {len(cuts) + 1} shards, in the order of the cuts, are the rows in order")

    async def test_cuts_hold_as_often_as_asked_and_outlive_their_process(self, ranged: Rows[K, V]) -> None:
        cuts = await self._cuts(ranged, 3)
        for some in (cuts, [_kept(cut) for cut in cuts], cuts):
            self._complete(await self._shards(ranged, some), "between the same cuts")

    async def test_ranges_read_at_the_same_time_do_not_mix(self, ranged: Rows[K, V]) -> None:
        cuts = await self._cuts(ranged, 3)
        shards = list(pairwise((None, *cuts, None)))
        alone = [await self._read(ranged, 1, *shard) for shard in shards]
        both = await together(*(partial(self._read, ranged, 1, *shard) for shard in shards * 2))
        same(list(both), alone * 2, "ranges that are read at the same time have their own rows")

    async def test_a_reading_that_was_left_disturbs_no_later_one(self, ranged: Rows[K, V]) -> None:
        for _ in range(3):
            with fail_after(PATIENCE):
                pages = ranged.rows(page=1)
                await anext(pages)
                await leave(pages)
            self._complete(await self._read(ranged, 2), "after a reading that was left")

    async def test_a_cancelled_page_can_be_asked_for_again(self, ranged: Rows[K, V]) -> None:
        order = await self._read(ranged, len(self.known))
        first = (await self._read_pages(ranged, 1))[0]
        read = partial(self._read, ranged, 2, first.cursor)
        for moment in await moments(read):
            await give_up(read, moment)
            found = await self._read(ranged, 2, first.cursor)
            same([*first.items(), *found], order, "a reading goes on after a cancelled page")

    def _sizes(self) -> Sequence[int]:
        count = len(self.known)
        return sorted({1, 2, 3, count - 1, count, count + 1, 1000})

    def _complete(self, rows: Sequence[tuple[K, V]], when: str) -> None:
        same(len(rows), len({key for key, _ in rows}), f"no row comes twice, {when}")
        same(dict(rows), dict(self.known), f"each row comes with its value, {when}")

    async def _places(self, ranged: Rows[K, V]) -> tuple[Sequence[tuple[object, int]], list[tuple[K, V]]]:
        """Return a few cursors with the number of rows before each, and all rows in order."""
        pages = await self._read_pages(ranged, 1)
        step = len(pages) // _CURSORS + 1
        places = [(page.cursor, number) for number, page in enumerate(pages, start=1)]
        return [(None, 0), *places[::step], places[-1]], [row for page in pages for row in page.items()]

    async def _read(
        self, ranged: Rows[K, V], size: int, after: object | None = None, until: object | None = None
    ) -> list[tuple[K, V]]:
        """Return the rows between two cursors."""
        pages = await self._read_pages(ranged, size, after, until)
        return [row for page in pages for row in page.items()]

    async def _shards(self, ranged: Rows[K, V], cuts: Sequence[object]) -> list[tuple[K, V]]:
        """Return the rows of all shards, in the order of the cuts."""
        found: list[tuple[K, V]] = []
        for begin, end in pairwise((None, *cuts, None)):
            found.extend(await self._read(ranged, 2, begin, end))
        return found

    async def _read_pages(
        self, ranged: Rows[K, V], size: int, after: object | None = None, until: object | None = None
    ) -> Sequence[RowPage[K, V]]:
        """Return the pages between two cursors; fail for a source that does not end."""
        pages: list[RowPage[K, V]] = []
        most = 2 * len(self.known) + 10
        with fail_after(PATIENCE):
            reading = ranged.rows(after=after, until=until, page=size)
            async for page in reading:
                pages.append(page)
                if len(pages) > most:
                    await leave(reading)
                    holds(f"{len(pages)} pages of {size} do not end", kept=False)
        return pages

    async def _cuts(self, ranged: Rows[K, V], shards: int) -> Sequence[object]:
        with fail_after(PATIENCE):
            return tuple(await ranged.cuts(shards))


async def leave(pages: AsyncIterator[RowPage[K, V]]) -> None:
    """Close ``pages``, if it can be closed."""
    if isinstance(pages, AsyncGenerator):
        await pages.aclose()


def _kept(cursor: object) -> object:
    """Return ``cursor`` as another process gets it."""
    codec = KeyCodec(exact=True)
    return codec.decode(codec.encode(cursor))
