"""Read the pages of a shard in order, each when it is asked for, in bounded time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic

from anyio import CancelScope, current_time

from async_backfill._common.attempt import attempt
from async_backfill._jobs._packing import unpack
from async_backfill.contracts import K, V
from async_backfill.warming._calls import in_time
from async_backfill.warming._page import Page, page_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from async_backfill._jobs._records import ShardRecord
    from async_backfill.contracts import RowPage, Rows

_APART: Final = 1.25  # a reader of pages goes on while their size changes by less: to begin anew may be dear
_CLOSING: Final = 1.0


class ReadError(Exception):
    """A page could not be read; the cause says why."""


class Reader(Generic[K, V]):
    """Reads the pages of ``shard`` behind its cursor.

    :param now: the clock of the guard, taken before a read.
    :param drawn_ttl: the ttl of the next page.
    :param seconds: how long the read of one page may take.
    """

    def __init__(
        self,
        rows: Rows[K, V],
        shard: ShardRecord,
        *,
        now: Callable[[], float],
        drawn_ttl: Callable[[], float | None],
        seconds: float,
    ) -> None:
        self._rows = rows
        self._until: Any = None if shard.high is None else unpack(shard.high)
        start = shard.low if shard.cursor is None else shard.cursor
        self._after: Any = None if start is None else unpack(start)
        self._now = now
        self._drawn_ttl = drawn_ttl
        self._seconds = seconds
        self._pages: AsyncIterator[RowPage[K, V]] | None = None
        self._size = 0
        self.seconds = 0.0

    async def next(self, size: int) -> Page[K, V] | None:
        """Return the next page, of about ``size`` rows; ``None`` after the last.

        :raises ReadError: when it cannot be read; the next call tries it again.
        """
        if self._pages is None or not size / _APART <= self._size <= size * _APART:
            await self.close()
            self._pages, self._size = self._rows.rows(after=self._after, until=self._until, page=size), size
        read_at, begin = self._now(), current_time()
        rows, error = await in_time(partial(anext, self._pages, None), self._seconds, "the read of a page")
        self.seconds = current_time() - begin
        if error is not None:
            await self.close()
            raise ReadError(str(error)) from error
        if rows is None:
            return None
        self._after = rows.cursor
        page = page_of(rows, read_at, self._drawn_ttl())
        # A page without rows still has an end: what is before it is dealt with.
        return page or Page(rows={}, read_at=read_at, ttl=None, end=rows.cursor, failed={})

    def back_to(self, cursor: object) -> None:
        """Read next what is behind ``cursor``."""
        self._after, self._size = cursor, 0

    def end_at(self, cursor: object) -> None:
        """Read nothing behind ``cursor``."""
        self._until, self._size = cursor, 0

    @property
    def after(self) -> object:
        """The cursor behind which the next page begins."""
        return self._after

    async def close(self) -> None:
        """Close what is open in the source."""
        pages, self._pages, self._size = self._pages, None, 0
        if isinstance(pages, AsyncGenerator):
            scope = CancelScope(deadline=current_time() + _CLOSING, shield=True)
            await attempt(partial(pages.aclose), scope)
