"""Write one page: in bounded time, with a few attempts, and around the rows that cannot be written."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Generic

from anyio import current_time, sleep

from async_backfill._common.error_text import error_line, key_text
from async_backfill._common.line_a_second import LineASecond
from async_backfill.contracts import K, V
from async_backfill.errors import StalePageError
from async_backfill.warming._bad_rows import BadRows
from async_backfill.warming._calls import StoppedError, TooManyDeadError, in_time, page_error
from async_backfill.warming._reading_again import read_again

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from async_backfill.contracts import Source
    from async_backfill.warming._guards import Guard
    from async_backfill.warming._page import Page, Sample
    from async_backfill.warming._progress import Tally
    from async_backfill.warming._settings import Settings

_LOGGER: Final = logging.getLogger("async_backfill.warming")
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_NO_SOURCE: Final = "; give source= to have its rows read again, or yield smaller pages"


class PageWriter(Generic[K, V]):
    """Writes pages, and counts what became of each row in ``tally``.

    :param source: what a page is read from again that is too old to be written; ``None`` for nothing.
    :param has_stopped: whether the copy is ending, so that nothing is to be tried again.
    """

    def __init__(
        self,
        guard: Guard[K, V],
        settings: Settings,
        tally: Tally[K],
        sample: Sample[K, V],
        source: Source[K, V] | None,
        has_stopped: Callable[[], bool],
    ) -> None:
        self._guard = guard
        self._settings = settings
        self._tally = tally
        self._sample = sample
        self._source = source
        self._has_stopped = has_stopped
        self._log = LineASecond(_LOGGER, current_time)

    async def write(self, page: Page[K, V]) -> bool:
        """Write ``page``; return whether all its rows are counted, which they are unless the copy stops.

        :raises StoppedError: when the page, or more rows than may be dead, could not be written.
        """
        if page.failed:
            why = {key: error_line(failed.error) for key, failed in page.failed.items()}
            self._bury(why, next(iter(page.failed.values())).error)
        page, error = await self._tried(page)
        if error is None:
            return True
        if self._has_stopped():
            return False
        if isinstance(error, StalePageError):
            self._bury(dict.fromkeys(page.rows, error_line(error)), error)
            return True
        if isinstance(error, TimeoutError):
            raise page_error(error)
        bad = BadRows(page, write=self._try, bury=self._bury, is_too_many=self._is_too_many)
        return await bad.write_others(error, self._has_stopped)

    async def _tried(self, page: Page[K, V]) -> tuple[Page[K, V], BaseException | None]:
        """Try ``page`` several times; return it as it was last read, and the error of the last time."""
        error: BaseException | None = None
        for number in range(self._settings.attempts):
            if number:
                if self._has_stopped():
                    break
                await sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (number - 1)))
            if isinstance(error, StalePageError):
                if self._source is None:
                    break
                page = await self._renewed(page, self._source)
            error = await self._try(page) if page.rows else None
            if error is None:
                break
        return page, error

    async def _try(self, page: Page[K, V]) -> BaseException | None:
        """Write the rows once, and count them; return the error, after which none is counted."""
        call = partial(self._guard.write, page.rows, page.read_at, page.ttl)
        kept, error = await in_time(call, self._settings.write_timeout, "write_timeout")
        if kept is not None:
            self._tally.add(kept, page.read_at)
            self._sample.add(page, kept)
            if kept.rejected:
                self._log_rows(kept.rejected)
        return error

    async def _renewed(self, page: Page[K, V], source: Source[K, V]) -> Page[K, V]:
        """Return ``page`` as its rows are now.

        :raises StoppedError: when they cannot be read.
        """
        read_at = self._guard.now()
        call = partial(read_again, source, tuple(page.rows))
        again, error = await in_time(call, self._settings.read_timeout, "read_timeout")
        if again is None:
            assert error is not None  # noqa: S101 - one of the two
            raise StoppedError(f"a page could not be read again: {error_line(error)}", error)
        self._tally.add_later(again.gone)
        if again.failed:
            why = {key: error_line(failed) for key, failed in again.failed.items()}
            self._bury(why, next(iter(again.failed.values())))
        return replace(page, rows=again.rows, read_at=read_at)

    def _bury(self, why: Mapping[K, str], error: BaseException) -> None:
        """Count rows as dead.

        :raises TooManyDeadError: when there are more of them than may be.
        """
        self._tally.add_dead(why)
        self._log_rows(why)
        if self._is_too_many(0):
            first = next(iter(why))
            others = f" and {len(why) - 1:,} others" if len(why) > 1 else ""
            hint = _NO_SOURCE if isinstance(error, StalePageError) and self._source is None else ""
            raise TooManyDeadError(
                f"the row of {key_text(first)}{others} could not be copied: {why[first]}{hint} (max_dead is "
                f"{self._settings.max_dead})",
                error,
            )

    def _log_rows(self, why: Mapping[K, str]) -> None:
        first = next(iter(why))
        self._log.warning(
            "%s rows of a copy were not written, such as that of %s: %s",
            len(why),
            key_text(first),
            why[first],
        )

    def _is_too_many(self, more: int) -> bool:
        return self._tally.dead + more > self._settings.max_dead
