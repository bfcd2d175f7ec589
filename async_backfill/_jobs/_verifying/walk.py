"""Walk over the rows of a job: all that it has read, and what came behind its cursors, or a sample."""

from __future__ import annotations

import logging
import math
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import current_time, sleep

from async_backfill._common.error_text import error_line
from async_backfill._common.line_a_second import LineASecond
from async_backfill._jobs._calls import answer, first_page
from async_backfill._jobs._packing import unpack
from async_backfill._jobs._planning.places import cuts_of, ranges, spread
from async_backfill._jobs._records import ShardStatus
from async_backfill.warming._calls import in_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._records import ShardRecord
    from async_backfill._jobs._verifying.comparison import Comparison
    from async_backfill.contracts import ReadBudget, RowPage

_LOGGER: Final = logging.getLogger("async_backfill.jobs")
_ANSWER: Final = 2.0
_PAUSE: Final = 0.5
_PAGE: Final = 1000
_PLACES: Final = 128
_ATTEMPTS: Final = 3
_SIGMAS: Final = 3.0


class Walk:
    """The rows of the ``shards`` of a job, given to a ``comparison`` page by page.

    :param rate: rows a second; ``None`` is no limit.
    :param stopped: is asked after each page, and returns why the walk is to end; ``None`` to go on.
    :param progress: is told after each page how many rows were compared so far.
    :param were_split: whether shards were split, because ranges that wide are not read in time.
    """

    def __init__(
        self,
        ends: JobEnds[Any, Any],
        shards: Sequence[ShardRecord],
        comparison: Comparison[Any, Any],
        *,
        rate: float | None,
        seconds: float,
        stopped: Callable[[], Awaitable[str | None]],
        progress: Callable[[int], object] = lambda _: None,
        were_split: bool = False,
    ) -> None:
        self._ends = ends
        self._shards = shards
        self._comparison = comparison
        self._rate = rate
        self._seconds = seconds
        self._stopped = stopped
        self._progress = progress
        self._were_split = were_split
        self._next = current_time()
        self._log = LineASecond(_LOGGER, current_time)

    @property
    def _is_done(self) -> bool:
        return all(shard.status is ShardStatus.DONE for shard in self._shards)

    async def over_all(self) -> str | None:
        """Compare all rows that the job has read, and those behind; return why it ended early, if it did.

        :raises JobError: when an end does not answer.
        """
        for shard in self._shards:
            low, high, cursor = map(_unpacked, (shard.low, shard.high, shard.cursor))
            parts = [(low, cursor, False)] if shard.cursor is not None else []
            if shard.status is ShardStatus.DONE:
                parts.append((low if shard.cursor is None else cursor, high, True))
            for begin, end, is_new in parts:
                after = begin
                while (page := await self._page(after, end)) is not None:
                    after = page.cursor
                    if stopped := await self._add(page, is_new=is_new):
                        return stopped
        await self._comparison.finish()
        read = sum(shard.counts.read for shard in self._shards)
        self._comparison.explain(self._comparison.compared - read)
        return None

    async def over_some(self, wanted: int) -> str | None:
        """Compare about ``wanted`` rows from places all over the source; else as `over_all`."""
        if self._is_done and not self._were_split:
            cuts = await cuts_of(self._ends.rows, min(_PLACES, wanted), self._seconds)
            last = self._shards[-1].cursor if self._shards else None
            places = ranges(cuts, _unpacked(last))
        else:
            places = [(_unpacked(one.low), _unpacked(one.cursor)) for one in self._shards if one.cursor]
        if places:
            pages = spread(self._ends.rows, places, wanted, self._seconds, attempts=_ATTEMPTS)
            async with aclosing(pages):
                async for page in pages:
                    if stopped := await self._add(page, is_new=False):
                        return stopped
        await self._comparison.finish()
        if self._is_done and self._comparison.missing:
            await self._explain_some()
        return None

    async def _explain_some(self) -> None:
        """Estimate how many rows of a sample can have been inserted since the job read their place."""
        if self._ends.source_facts is None:
            return
        rows, how = await answer(
            self._ends.source_facts.count, self._seconds, "the source's rows could not be counted"
        )
        inserted = rows - sum(shard.counts.read for shard in self._shards)
        if how == "counted" and inserted > 0:
            expected = self._comparison.compared * inserted / rows
            self._comparison.explain(math.ceil(expected + _SIGMAS * math.sqrt(expected)))

    async def _page(self, after: object, until: object) -> RowPage[Any, Any] | None:
        return await first_page(self._ends.rows, after, until, _PAGE, self._seconds, _ATTEMPTS)

    async def _add(self, page: RowPage[Any, Any], *, is_new: bool) -> str | None:
        await self._comparison.add(page, is_new=is_new)
        self._progress(self._comparison.compared)
        rows = len(page) + len(page.failed)
        if self._rate is not None and rows:
            if self._ends.budget is not None:
                return await self._booked(self._ends.budget, rows, self._rate)
            self._next = max(self._next, current_time() - 1.0) + rows / self._rate
            await sleep(max(0.0, self._next - current_time()))
        return await self._stopped()

    async def _booked(self, budget: ReadBudget, rows: int, rate: float) -> str | None:
        """Book rows that were read, and wait for their time; no further page is read without an answer."""
        wait: float | None = None
        while wait is None:
            book = partial(budget.book, rows, rate)
            wait, error = await in_time(book, _ANSWER, "the longest time for an answer")
            if error is not None:
                said = self._ends.hidden(error_line(error))
                self._log.warning("the verification waits: the budget of reads does not answer: %s", said)
                if stopped := await self._stopped():
                    return stopped
                await sleep(_PAUSE)
        end = current_time() + wait
        while not (stopped := await self._stopped()) and (left := end - current_time()) > 0.0:  # noqa: ASYNC110
            await sleep(min(_PAUSE, left))
        return stopped


def _unpacked(cursor: bytes | None) -> Any:
    return None if cursor is None else unpack(cursor)
