"""When the next page of a lane may begin: not before its rate, its approval and the throttles allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio import current_time, move_on_after, sleep

from async_backfill._jobs._records import Throttled
from async_backfill._jobs._running.pace import Pace
from async_backfill._jobs._running.page_size import LEAST, PageSize, most_at
from async_backfill._jobs._running.throttles import Reason, first_reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill._jobs._records import ShardRecord
    from async_backfill._jobs._running.course import Course

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
        self._pace = Pace()
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
            wanted = min(size.rows, most_at(course.rate))
        else:
            wanted = min(batch, size.rows) if shrunk else batch
        return max(0, min(wanted, course.rows_left - course.in_flight))

    def may_begin(self, rows: int) -> bool:
        """Return whether a page of ``rows`` may begin now; then it counts."""
        course, now = self._course, current_time()
        reason = first_reason(course.limits, course.meter.readings())
        wait = self._pace.wait(now, rows, course.rate)
        if rows and reason is None and not wait:
            self._pace = self._pace.take(now, rows, course.rate)
            self._note(None)
            return True
        if reason is None and wait and course.settings.rate is not None:
            limit = f"{course.settings.rate:g} rows a second"
            reason = Reason(reason="rate", value=f"a page in {wait:.2f} s", limit=limit)
        self._note(reason)
        return False

    def give_back(self, rows: int) -> None:
        """Take back ``rows`` of a page that had fewer than were asked for."""
        self._pace = self._pace.give_back(rows, self._course.rate)

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
            await sleep(self._pause(wanted))
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
        return min(_LOOK, self._pace.wait(current_time(), rows, self._course.rate))

    def _forget(self) -> None:
        """Try one page after a while when only pages can show whether it is better."""
        if (
            self._since is not None
            and self._since[0] in _BY_PAGES
            and current_time() - self._since[1] >= _ANEW
        ):
            self._course.meter.forget_failures()

    def _note(self, reason: Reason | None) -> None:
        if reason is None:
            self._since = self.throttled = None
            return
        if self._since is None or self._since[0] != reason.reason:
            self._since = (reason.reason, current_time(), self._wall())
        _, since, at = self._since
        self.throttled = Throttled(reason=reason.reason, since=at, value=reason.value, limit=reason.limit)
        self._course.throttled(self.throttled, since)
