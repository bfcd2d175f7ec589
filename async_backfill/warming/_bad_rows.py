"""Write the rows of a page that failed around its bad ones, which are found by bisection."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Generic

from async_backfill._common.error_text import error_line
from async_backfill.contracts import K, V
from async_backfill.errors import StalePageError
from async_backfill.warming._calls import page_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from async_backfill.warming._page import Page


class BadRows(Generic[K, V]):
    """The bad rows of one page.

    A bad row is one that was tried alone and failed, while other rows of its page could be written. It costs
    log2(n) + 2 calls. Where nothing of the page can be written the store is at fault, or all its rows.

    :param write: writes rows once, counts them, and returns the error if they could not be written.
    :param bury: counts bad rows, or stops the copy if they are too many.
    :param is_too_many: whether so many bad rows stop the copy.
    """

    def __init__(
        self,
        page: Page[K, V],
        *,
        write: Callable[[Page[K, V]], Awaitable[BaseException | None]],
        bury: Callable[[Mapping[K, str], BaseException], None],
        is_too_many: Callable[[int], bool],
    ) -> None:
        self._page = page
        self._write = write
        self._bury = bury
        self._is_too_many = is_too_many
        self._bad: dict[K, str] = {}
        self._has_written = False

    async def write_others(self, error: BaseException, has_stopped: Callable[[], bool]) -> bool:
        """Write the other rows of the page, which failed with ``error``; return whether all are counted.

        :raises StoppedError: when too many are bad, the store is at fault, or it does not answer in time.
        """
        left: dict[K, V] = dict(self._page.rows)
        while left:
            found = await self._next(left, error, has_stopped)
            if found is None:
                return False
            left, error = found
            if not self._has_written and self._is_too_many(len(self._bad)):
                raise page_error(error)
            if self._has_written:
                self._bury_bad(error)
            if left and await self._tried(left) is None:
                left = {}
        self._bury_bad(error)
        return True

    async def _next(
        self, suspects: dict[K, V], error: BaseException, has_stopped: Callable[[], bool]
    ) -> tuple[dict[K, V], BaseException] | None:
        """Find one bad row among ``suspects``; return the rows that were not tried, and its error.

        Without a bad row, as when the store is back meanwhile, ``error`` is that of before. ``None`` when the
        copy is ending.
        """
        aside: dict[K, V] = {}
        while suspects:
            if has_stopped():
                return None
            half = dict(islice(suspects.items(), (len(suspects) + 1) // 2))
            rest = {key: suspects[key] for key in suspects if key not in half}
            failure = await self._tried(half)
            if failure is None:
                suspects = rest
            elif isinstance(failure, TimeoutError):
                raise page_error(failure)
            elif len(half) == 1 or isinstance(failure, StalePageError):
                self._bad |= dict.fromkeys(half, error_line(failure))
                return {**rest, **aside}, failure
            else:
                suspects, aside = half, {**rest, **aside}
        return aside, error

    async def _tried(self, rows: dict[K, V]) -> BaseException | None:
        error = await self._write(replace(self._page, rows=rows))
        self._has_written = self._has_written or error is None
        return error

    def _bury_bad(self, error: BaseException) -> None:
        bad, self._bad = self._bad, {}
        if bad:
            self._bury(bad, error)
