"""Rows a second: the generic cell rate algorithm (GCRA), pure functions of the time, and one lane's part."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from anyio import current_time, sleep

from async_backfill._jobs._running.page_size import most_at
from async_backfill._jobs._running.throttles import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backfill._jobs._running.course import Course

SHORTEST: Final = 1e-6
"""The shortest wait, in seconds: or rounding could keep a page waiting for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When all rows so far would have come at the rate; ``until`` is a time of any clock.

    A page that comes late by less than its own time at the rate does not put off those after it, so the rate
    is kept on the whole although nothing wakes up to the moment.
    """

    until: float = 0.0

    def wait(self, now: float, rows: int, rate: float | None) -> float:
        """Return the seconds until a page of ``rows`` may begin; 0.0 is now."""
        if rate is None:
            return 0.0
        late = self.until - now - rows / rate
        return late if late > SHORTEST else 0.0

    def take(self, now: float, rows: int, rate: float | None) -> Pace:
        """Return the pace after a page of ``rows`` has begun."""
        return self if rate is None else Pace(until=max(self.until, now) + rows / rate)

    def give_back(self, rows: int, rate: float | None) -> Pace:
        """Return the pace when ``rows`` that were taken did not come."""
        return self if rate is None else Pace(until=self.until - rows / rate)


class OwnPace:
    """The pace of one lane without a budget: its part of the job's rate, by the shards that are worked on."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._pace = Pace()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Do nothing: there is nobody to ask."""
        yield

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Do nothing: pages at once are those of the lanes."""
        yield

    @property
    def most(self) -> int:
        """The largest page that keeps the rate in each second."""
        return most_at(self._course.rate)

    def rows(self, wanted: int) -> int:
        """Return ``wanted``."""
        return wanted

    def wait(self, rows: int) -> tuple[float, Reason | None]:
        """Return the seconds until a page of ``rows`` may begin, 0.0 for now, and what to tell of it."""
        wait, rate = self._pace.wait(current_time(), rows, self._course.rate), self._course.settings.rate
        if not wait or rate is None:
            return 0.0, None
        limit = f"{rate:g} rows a second"
        return wait, Reason(reason="rate", value=f"a page in {wait:.2f} s", limit=limit)

    def take(self, rows: int, following: int) -> None:  # noqa: ARG002 - as of a budget
        """Begin a page of ``rows``."""
        self._pace = self._pace.take(current_time(), rows, self._course.rate)

    def give_back(self, rows: int) -> None:
        """Take back ``rows`` of a page that had fewer than were asked for."""
        self._pace = self._pace.give_back(rows, self._course.rate)

    async def pause(self, seconds: float) -> None:
        """Sleep for ``seconds``."""
        await sleep(seconds)
