"""A shard in the hands of a worker: kept while it works on it, and given up once another has taken it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import create_task_group, current_time, sleep

from async_backfill._jobs._running.waiting import BEAT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import CancelScope

    from async_backfill._jobs._records import ShardRecord
    from async_backfill._jobs._running.course import Course
    from async_backfill._jobs._running.waiting import Lane
    from async_backfill._jobs._state.shards import PageDone


class HeldShard:
    """A ``shard`` that a ``lane`` has claimed; each call that keeps it brings the operator's word as well."""

    def __init__(self, course: Course, lane: Lane, shard: ShardRecord) -> None:
        self.record = shard
        self.is_lost = False
        self._course = course
        self._lane = lane
        self._kept_at = current_time()

    async def keep(self, done: PageDone) -> bool:
        """Write the checkpoint of what was ``done``; return whether the shard was still one's own."""
        told = await self._course.desk.checkpoint(self.record, done)
        if told is None:
            self.is_lost = True
            return False
        self._kept_at = self._course.progress_at = current_time()
        self._course.kept(self.record, done)
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

    async def during(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run ``step``, and keep the shard meanwhile; end it when another has taken the shard."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._beat, tasks.cancel_scope)
            await step()
            tasks.cancel_scope.cancel()

    async def _beat(self, scope: CancelScope) -> None:
        while not self.is_lost:
            await sleep(min(BEAT, self._course.desk.lease / 3))
            await self.renew()
        scope.cancel()
