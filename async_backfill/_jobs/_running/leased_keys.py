"""The keys of a shard that were leased when their page was written: looked at once more at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from async_backfill._jobs._records import JobCounts
from async_backfill._jobs._running.tallies import counted
from async_backfill.warming._last_looks import LastLooks
from async_backfill.warming._progress import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._jobs._running.course import Course

_MOST: Final = 10_000


class LeasedKeys:
    """Some keys that a process was loading; those of a worker that was lost stay left alone."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._read_at: dict[Any, float] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._read_at)

    def add(self, tally: Tally[Any]) -> None:
        """Take those of a page."""
        if len(self._read_at) < _MOST:
            self._read_at.update(tally.take_leased())

    async def look(self) -> tuple[JobCounts, Sequence[tuple[bytes, str]]]:
        """Write those that nobody has written; return how the counts change, and rows that are dead."""
        leased, self._read_at = self._read_at, {}
        tally: Tally[Any] = Tally(most_shown=len(leased))
        tally.add_leased(leased)
        course = self._course
        looks = LastLooks(course.ends.store, course.guard, course.copy_settings, tally, course.ends.source)
        await looks.at_leased()
        before = JobCounts(read=len(leased), leased=len(leased))
        return counted(tally, hidden=course.ends.hidden, before=before)
