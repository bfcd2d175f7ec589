"""Find keys of the store that have no row: those of rows that were removed without telling the store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic

from anyio import sleep

from async_backfill._jobs._calls import answer
from async_backfill._jobs._errors import JobRefusedError
from async_backfill.contracts import K, KeyListing, V
from async_backfill.warming._reading_again import read_again

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from async_backfill._jobs._ends import JobEnds
    from async_backfill.contracts import Page

_PAGE: Final = 1000
_ATTEMPTS: Final = 3


class Extras(Generic[K, V]):
    """The keys of the store that have no row, also at a second look.

    :param apart: seconds between the two looks.
    :param seconds: how long one call of an end may take.
    :raises JobRefusedError: when the store cannot list its keys.
    """

    def __init__(self, ends: JobEnds[K, V], *, apart: float, seconds: float) -> None:
        if KeyListing not in type(ends.store).__mro__:
            kind = type(ends.store).__name__
            raise JobRefusedError(
                f"keys without a row cannot be looked for: {kind} does not list its keys (KeyListing)"
            )
        self._ends = ends
        self._apart = apart
        self._seconds = seconds
        self._found: set[K] = set()

    async def pages(self) -> AsyncIterator[Collection[K]]:
        """Yield the keys that have no row for each page of keys of the store, each key once.

        :raises JobError: when an end does not answer.
        """
        cursor: object | None = None
        suspects: list[K] = []
        while True:
            page = await self._page(cursor)
            suspects += await self._without_row([key for key in page.keys if key not in self._found])
            cursor = page.cursor
            sure: Collection[K] = ()
            if suspects and (cursor is None or len(suspects) >= _PAGE):
                await sleep(self._apart)
                sure = await self._without_row(list(dict.fromkeys(suspects)))
                self._found.update(sure)
                suspects = []
            yield sure
            if cursor is None:
                return

    async def remove(self, keys: Sequence[K]) -> None:
        """Remove ``keys`` from the store, and from the memory of other caches."""
        await self._call(partial(self._ends.store.delete_many, keys), "keys could not be removed")
        if self._ends.invalidations is not None:
            publish = partial(self._ends.invalidations.publish, keys)
            await self._call(publish, "other caches could not be told of keys that were removed")

    async def _page(self, cursor: object | None) -> Page[K]:
        store: Any = self._ends.store
        call = partial(store.list_keys, cursor, _PAGE)
        page: Page[K] = await self._call(call, "the store's keys could not be read")
        return page

    async def _without_row(self, keys: Sequence[K]) -> Sequence[K]:
        """Return those of ``keys`` that have a value, and no row."""
        if not keys:
            return ()
        again = await self._call(partial(read_again, self._ends.source, keys), "rows could not be read again")
        if not again.gone:
            return ()
        gone = tuple(again.gone)
        there = await self._call(partial(self._ends.store.get_many, gone), "the store could not be read")
        return [key for key in gone if key in there]

    async def _call(self, call: Any, what: str) -> Any:
        return await answer(call, self._seconds, what, attempts=_ATTEMPTS)
