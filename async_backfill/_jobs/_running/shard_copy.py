"""Copy one shard: a page is read while the one before is written, and written after its checkpoint."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import create_task_group, current_time, sleep

from async_backfill._jobs._packing import pack
from async_backfill._jobs._records import JobCounts
from async_backfill._jobs._running.faults import is_hopeless, is_timeout
from async_backfill._jobs._running.guarding import OldPageError
from async_backfill._jobs._running.held_shard import HeldShard
from async_backfill._jobs._running.leased_keys import LeasedKeys
from async_backfill._jobs._running.reader import Reader, ReadError
from async_backfill._jobs._running.tallies import counted
from async_backfill._jobs._running.throttles import Reason
from async_backfill._jobs._state.shards import PageDone
from async_backfill.warming._calls import StoppedError, TooManyDeadError
from async_backfill.warming._page import Sample
from async_backfill.warming._page_writer import PageWriter
from async_backfill.warming._progress import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._jobs._records import ShardRecord
    from async_backfill._jobs._running.course import Course
    from async_backfill._jobs._running.waiting import Lane
    from async_backfill.warming._page import Page

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_LONGEST_BACK_OFF: Final = 60.0
_ATTEMPTS: Final = 10


class ShardCopy:
    """The copy of the rest of ``shard`` by a ``lane``."""

    def __init__(self, course: Course, lane: Lane, shard: ShardRecord) -> None:
        self._course = course
        self._lane = lane
        self._shard = shard
        self._held = HeldShard(course, lane, shard)
        self._size = lane.first_size(shard)
        self._shrunk = False
        self._reader: Reader[Any, Any] = Reader(
            course.ends.rows,
            shard,
            now=lambda: course.guard.now() - course.meter.lag,
            drawn_ttl=course.copy_settings.drawn_ttl,
            seconds=course.copy_settings.read_timeout or 0.0,
        )
        self._start = self._reader.after
        self._ahead: tuple[Page[Any, Any] | None, float] | ReadError | None = None
        self._leased = LeasedKeys(course)
        self._repeated = 0
        self._is_done = self._is_to_be_read_again = False

    async def run(self) -> None:
        """Copy page after page, until the shard or the worker ends, or another has taken the shard."""
        try:
            await self._held.renew()
            while not self._is_done and self._goes_on():
                await self._step()
        finally:
            self._drop_ahead()
            await self._reader.close()
        if not self._is_done and not self._held.is_lost:
            await self._course.desk.release(self._shard)

    def _goes_on(self) -> bool:
        is_wanted = self._lane.number < self._course.settings.lanes
        return self._course.end is None and not self._held.is_lost and is_wanted

    async def _step(self) -> None:
        """Read the next page, unless that was done, and copy it."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            rows = await self._lane.wait(self._rows, self._held.renew)
            if not rows or self._held.is_lost:
                return
            await self._held.during(partial(self._read, rows))
            ahead, self._ahead = self._ahead, None
        if isinstance(ahead, ReadError):
            await self._unread(ahead)
        elif ahead is not None:
            page, seconds = ahead
            if page is None:
                await self._held.during(self._end)
            else:
                await self._held.during(partial(self._copy, page, seconds))

    def _rows(self) -> int:
        return self._lane.rows(self._size, shrunk=self._shrunk)

    async def _read(self, rows: int) -> None:
        """Read a page of ``rows``; what came, or the error, waits for its turn."""
        course = self._course
        course.in_flight += rows
        came = 0
        try:
            async with self._lane.pace.place():
                page = await self._reader.next(rows)
            came = 0 if page is None else len(page.rows) + len(page.failed)
            self._ahead = page, self._reader.seconds
            course.meter.read(self._reader.seconds)
        except ReadError as error:
            course.meter.failed()
            self._ahead = error
        finally:
            course.in_flight -= rows - came
            self._lane.pace.give_back(rows - came)

    async def _copy(self, page: Page[Any, Any], read_seconds: float) -> None:
        """Write a page and keep that; read the next one meanwhile."""
        rows = len(page.rows) + len(page.failed)
        try:
            async with create_task_group() as tasks:
                wanted = self._rows()
                if wanted and self._course.end is None and self._lane.may_begin(wanted):
                    tasks.start_soon(self._read, wanted)
                if not await self._written(page, read_seconds) or self._course.end is not None:
                    tasks.cancel_scope.cancel()
        finally:
            self._course.in_flight -= rows
            if self._course.end is not None or self._held.is_lost:
                self._drop_ahead()
        if self._is_to_be_read_again:  # now that nothing is being read ahead
            self._read_again()

    async def _written(self, page: Page[Any, Any], read_seconds: float) -> bool:
        """Write ``page`` until the store has it, and keep that; return whether it was."""
        pause, begin = _FIRST_PAUSE, current_time()
        while await self._held.is_mine():
            tally: Tally[Any] = Tally(most_shown=len(page.rows) + len(page.failed))
            write_begin = current_time()
            error = await self._tried(page, tally)
            seconds = current_time() - write_begin
            if (
                error is None
                and self._course.end is not None
                and tally.read < len(page.rows) + len(page.failed)
            ):
                return False
            if error is None:
                error = await self._course.look_at_store()
                if error is None:
                    if self._course.has_lost_memory:
                        return False
                    self._course.meter.written(seconds)
                    return await self._keep(page, tally, read_seconds + seconds, current_time() - begin)
            if not await self._bear(error, pause):
                return False
            if isinstance(error, OldPageError) or type(error) is TimeoutError:
                self._is_to_be_read_again = True
                return False
            pause = min(_LONGEST_PAUSE, 2 * pause)
        return False

    async def _tried(self, page: Page[Any, Any], tally: Tally[Any]) -> BaseException | None:
        """Write ``page`` once, around its bad rows; return the error of the store."""
        course = self._course
        # One more, so that the row which is too many is found and told of.
        settings = replace(course.copy_settings, max_dead=course.dead_left + 1)
        sample: Sample[Any, Any] = Sample()
        writer = PageWriter(
            course.guard, settings, tally, sample, course.ends.source, lambda: course.end is not None
        )
        try:
            await writer.write(page)
        except TooManyDeadError as error:
            course.fail(str(error))
        except StoppedError as error:
            if isinstance(error.cause, (KeyboardInterrupt, SystemExit)):
                raise error.cause from None
            if isinstance(error.cause, TimeoutError):  # ours, or the store's: see `guarding`
                return error.cause
            course.fail(str(error))
        return None

    async def _bear(self, error: BaseException, pause: float) -> bool:
        """Wait after an error of the store; return whether to go on."""
        course = self._course
        course.meter.failed()
        if is_hopeless(error):
            course.fail(f"the store: {course.line(error)}")
        elif not isinstance(error, OldPageError):
            self._lane.hold(Reason(reason="store", value=course.line(error), limit="it takes pages"))
            await sleep(pause)
        return course.end is None

    def _read_again(self) -> None:
        """Let the page be read anew, and a smaller one: it was too old, or took too long to be written."""
        self._is_to_be_read_again = False
        self._size, self._shrunk = self._size.after_timeout(), True
        self._repeated += 1
        self._drop_ahead()
        self._reader.back_to(self._start)

    async def _keep(
        self, page: Page[Any, Any], tally: Tally[Any], seconds: float, whole_seconds: float
    ) -> bool:
        """Write the checkpoint of ``page``, and obey; return whether the shard is still one's own."""
        rows = len(page.rows) + len(page.failed)
        self._size = self._lane.size = self._size.after_page(rows, seconds, self._course.aim)
        self._leased.add(tally)
        counts, dead = counted(tally, hidden=self._course.ends.hidden)
        done = PageDone(
            cursor=pack(page.end),
            counts=counts,
            repeated=self._repeated,
            seconds=whole_seconds,
            batch=self._size.rows,
            throttled=self._lane.throttled,
            dead=dead,
        )
        if not await self._held.keep(done):
            return False
        self._repeated, self._start = 0, page.end
        return True

    async def _end(self) -> None:
        """Look once more at keys that were leased, and end the shard."""
        counts: JobCounts = JobCounts()
        dead: Sequence[tuple[bytes, str]] = ()
        if self._leased and await self._held.is_mine():
            counts, dead = await self._leased.look()
        done = PageDone(cursor=None, counts=counts, pages=0, batch=self._size.rows, dead=dead, ended=True)
        self._is_done = await self._held.keep(done)

    async def _unread(self, error: ReadError) -> None:
        """Deal with a page that could not be read: smaller, later, or not at all."""
        course, cause = self._course, error.__cause__ or error
        said = course.line(cause)
        self._reader.back_to(self._start)
        if is_hopeless(cause):
            course.fail(f"the source: {said}")
            return
        if is_timeout(cause) and not self._size.is_least:
            self._size, self._shrunk = self._size.after_timeout(), True
            return
        if is_timeout(cause) and (await self._held.split(self._reader, said) or course.end is not None):
            return
        # Of a connection that is lost nobody knows for how long; other errors are those of this shard.
        failed = is_timeout(cause) or (not isinstance(cause, OSError) and self._shard.attempts >= _ATTEMPTS)
        seconds = min(_LONGEST_BACK_OFF, 0.5 * 2.0 ** min(10, self._shard.attempts - 1))
        await course.desk.release(self._shard, error=said, seconds=0.0 if failed else seconds, failed=failed)
        self._is_done = True

    def _drop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if isinstance(ahead, tuple) and ahead[0] is not None:
            self._course.in_flight -= len(ahead[0].rows) + len(ahead[0].failed)
