"""When the next page of a lane may begin: not before its rate, its approval and the throttles allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio import current_time, move_on_after

from async_backfill._jobs._records import Throttled
from async_backfill._jobs._running.booked import BookedPace
from async_backfill._jobs._running.pace import OwnPace
from async_backfill._jobs._running.page_size import LEAST, PageSize
from async_backfill._jobs._running.throttles import first_reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill._jobs._records import ShardRecord
    from async_backfill._jobs._running.course import Course
    from async_backfill._jobs._running.throttles import Reason

BEAT: Final = 0.5
"""The seconds after which a lane without a checkpoint looks what the operator wants."""

_LOOK: Final = 0.5
_BRIEF: Final = 0.05
_ANEW: Final = 10.0
_BY_PAGES: Final = frozenset({"source latency", "store latency", "error rate"})


class Lane:
    """One lane of a worker: a page at a time."""

    def __init__(self, number: int, course: Course, wall: Callable[[], float]) -> None:
        self.number = number
        self._course = course
        self._wall = wall
        budget = course.ends.budget
        self.pace = OwnPace(course) if budget is None else BookedPace(budget, course, self._wait_for_place)
        """When pages may begin by the rate, of this job alone or of all who share its budget."""
        self._following = 0
        self._since: tuple[str, float, float] | None = None
        self.size: PageSize | None = None
        """The size that was right for the last shard, when it is found by itself."""
        self.throttled: Throttled | None = None

    def first_size(self, shard: ShardRecord) -> PageSize:
        """Return the size to begin with: where nobody has begun, that of the shard before."""
        batch = self._course.settings.batch
        if batch != "auto":
            return PageSize(rows=max(LEAST, batch))
        is_new = shard.attempts <= 1 and not shard.pages
        return self.size if self.size is not None and is_new else PageSize(rows=shard.batch)

    def rows(self, size: PageSize, *, shrunk: bool) -> int:
        """Return the rows of the next page, at most those that the approval leaves; 0 is none now."""
        course = self._course
        batch = course.settings.batch
        if batch == "auto":
            wanted = min(size.rows, self.pace.most)
        else:
            wanted = min(batch, size.rows) if shrunk else batch
        self._following = wanted
        return max(0, min(self.pace.rows(wanted), course.rows_left - course.in_flight))

    def may_begin(self, rows: int) -> bool:
        """Return whether a page of ``rows`` may begin now; then it counts."""
        reason = first_reason(self._course.limits, self._course.meter.readings())
        wait, of_pace = self.pace.wait(rows)
        if rows and reason is None and not wait:
            self.pace.take(rows, self._following)
            self._note(None)
            return True
        self._note(reason or of_pace)
        return False

    def hold(self, reason: Reason) -> None:
        """Show why the lane waits, and pause the job when that lasts too long."""
        self._note(reason)

    async def wait(self, rows: Callable[[], int], renew: Callable[[], Awaitable[object]]) -> int:
        """Wait until a page may begin; return its rows, or 0 when the worker ends.

        :param renew: keeps the shard, and obeys.
        """
        course, told = self._course, current_time()
        while course.end is None and self.number < course.settings.lanes:
            wanted = rows()
            if self.may_begin(wanted):
                return wanted
            await self.pace.pause(self._pause(wanted))
            if current_time() - told >= _LOOK:
                await renew()
                told = current_time()
                if course.end is None:
                    with move_on_after(_LOOK):  # a store that is silent must not keep the operator waiting
                        await course.look_at_store()
                self._forget()
        return 0

    def _pause(self, rows: int) -> float:
        if self.throttled is None or self.throttled.reason != "rate":
            return _BRIEF
        return min(_LOOK, self.pace.wait(rows)[0])

    def _wait_for_place(self, reason: Reason | None) -> None:
        self._note(reason)
        self._forget()

    def _forget(self) -> None:
        """Try one page after a while when only pages can show whether it is better."""
        if (
            self._since is not None
            and self._since[0] in _BY_PAGES
            and current_time() - self._since[1] >= _ANEW
        ):
            self._course.meter.forget_failures()

    def _note(self, reason: Reason | None) -> None:
        before, since, now = self.throttled, self._since, current_time()
        if reason is None:
            self._since = self.throttled = None
        else:
            begun = since if since is not None and since[0] == reason.reason else None
            self._since = begun or (reason.reason, now, self._wall())
            _, begin, at = self._since
            self.throttled = Throttled(reason=reason.reason, since=at, value=reason.value, limit=reason.limit)
            self._course.throttled(self.throttled, begin)
        if since is not self._since:
            seconds = 0.0 if since is None else now - since[1]
            self._course.waits(self.number, self.throttled, before, seconds)
