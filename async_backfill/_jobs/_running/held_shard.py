"""A shard in the hands of a worker: kept while it works on it, and given up once another has taken it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import create_task_group, current_time, move_on_after, sleep

from async_backfill._jobs._packing import pack, unpack
from async_backfill._jobs._running.course import READ_TIMEOUT, WRITE_TIMEOUT
from async_backfill._jobs._running.waiting import BEAT
from async_backfill.warming._calls import in_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import CancelScope

    from async_backfill._jobs._records import ShardRecord
    from async_backfill._jobs._running.course import Course
    from async_backfill._jobs._running.reader import Reader
    from async_backfill._jobs._running.waiting import Lane
    from async_backfill._jobs._state.shards import PageDone

_A_PAGE: Final = 0.5


class HeldShard:
    """A ``shard`` that a ``lane`` has claimed; each call that keeps it brings the operator's word as well."""

    def __init__(self, course: Course, lane: Lane, shard: ShardRecord) -> None:
        self.record = shard
        self.is_lost = False
        self._course = course
        self._lane = lane
        self._kept_at = self._counted_at = current_time()
        self._page = _A_PAGE

    async def keep(self, done: PageDone) -> bool:
        """Write the checkpoint of what was ``done``; return whether the shard was still one's own."""
        now = current_time()
        # All seconds count, those of waiting too: the speed that is shown is that of the rows.
        counted = replace(done, seconds=now - self._counted_at)
        told = await self._course.desk.checkpoint(self.record, counted)
        if told is None:
            self.is_lost = True
            return False
        self._counted_at = now
        self._kept_at = self._course.progress_at = current_time()
        self._course.kept(self.record, done)
        self._page = min(WRITE_TIMEOUT, max(_A_PAGE, done.seconds))
        self._course.obey(told)
        return True

    async def renew(self) -> None:
        """Keep the shard while no page is done."""
        told = await self._course.desk.renew(self.record, self._lane.throttled)
        if told is None:
            self.is_lost = True
        else:
            self._kept_at = current_time()
            self._course.obey(told)

    async def is_mine(self) -> bool:
        """Return whether the shard is still one's own; asks when the lease may be over.

        So a worker that slept, with its machine or process, writes nothing when it wakes up.
        """
        if current_time() - self._kept_at >= self._course.desk.lease:
            await self.renew()
        return not self.is_lost

    async def split(self, reader: Reader[Any, Any], error: str) -> bool:
        """Leave half of what ``reader`` has to read to whoever claims it; return whether that was possible.

        Not when the source does not say where, or another has taken the shard.
        """
        was_split = False

        async def split() -> None:
            nonlocal was_split
            facts, high = self._course.ends.source_facts, self.record.high
            if facts is None:
                return
            ask = partial(facts.middle, reader.after, None if high is None else unpack(high))
            middle, _ = await in_time(ask, READ_TIMEOUT, "the middle of a range")
            if middle is None:
                return
            if await self._course.desk.split(self.record, packed := pack(middle), error=error):
                self.record = replace(self.record, high=packed)
                reader.end_at(middle)
                was_split = True

        await self.during(split)
        return was_split

    async def during(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run ``step``, and keep the shard meanwhile; end it when another has taken the shard.

        Once the worker is to end, the step has the time of a page, or a write that hangs would hold it up. A
        page that is written and not kept then is repeated, which the guard allows.
        """
        async with create_task_group() as tasks:
            tasks.start_soon(self._beat, tasks.cancel_scope)
            await step()
            tasks.cancel_scope.cancel()

    async def _beat(self, scope: CancelScope) -> None:
        course = self._course
        while not self.is_lost and course.end is None:
            with move_on_after(min(BEAT, course.desk.lease / 3)):
                await course.ended.wait()
            if course.end is None:
                await self.renew()
        if not self.is_lost:
            await sleep(self._page)
        scope.cancel()
