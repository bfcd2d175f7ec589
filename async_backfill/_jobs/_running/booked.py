"""What a lane has of a budget of reads: rows booked a page ahead, and the place of the page that it reads."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, Event, create_task_group, current_time, move_on_after, sleep

from async_backfill._jobs._running.pace import SHORTEST
from async_backfill._jobs._running.page_size import most_at
from async_backfill._jobs._running.throttles import Reason, first_reason
from async_backfill.warming._calls import in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from async_backfill._jobs._running.course import Course
    from async_backfill.contracts import ReadBudget

_ANSWER: Final = 2.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_CLOSING: Final = 1.0
_LEASE: Final = 15.0
_FULL: Final = 0.02
_LONGEST_FULL: Final = 0.3
_ANSWERS: Final = "it answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Booking:
    """So many ``rows`` that may begin ``at`` a time of the event loop."""

    rows: int
    rate: float
    at: float


class BookedPace:
    """The pace of one lane by a budget that others share.

    It asks beside the lane, in bounded time, and one page ahead. While the budget does not answer no page
    begins: what cannot be asked for may have been taken by others.

    :param hold: shows why the lane waits.
    """

    def __init__(self, budget: ReadBudget, course: Course, hold: Callable[[Reason | None], None]) -> None:
        self._budget = budget
        self._course = course
        self._hold = hold
        self._woken = Event()
        self._news = Event()
        self._wanted = 0
        self._booking: _Booking | None = None
        self._page: bytes | None = None
        self._renewed = 0.0
        self._error: str | None = None
        self._left: list[Callable[[], Awaitable[object]]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Ask the budget, for the length of the block; then give back what was not used."""
        async with create_task_group() as aside:
            aside.start_soon(self._run)
            try:
                yield
            finally:
                aside.cancel_scope.cancel()

    @property
    def most(self) -> int:
        """The largest page that keeps the rate in each second, with one that comes late."""
        rate = self._course.settings.rate
        return most_at(None if rate is None else rate / 2)

    def rows(self, wanted: int) -> int:
        """Return the rows of the next page, where ``wanted`` would be right."""
        return wanted if self._booking is None else min(wanted, self._booking.rows)

    def wait(self, rows: int) -> tuple[float, Reason | None]:
        """Return the seconds until a page of ``rows`` may begin, 0.0 for now, and what to tell of it."""
        rate, booking = self._course.settings.rate, self._booking
        if booking is not None and booking.rate != rate:
            self._drop()
            booking = None
        if rate is None or not rows:
            return 0.0, None
        if booking is None:
            self._want(rows)
            return _FULL, None if self._error is None else self._unanswered(self._error)
        wait = booking.at - current_time()
        if wait <= SHORTEST:
            return 0.0, None
        limit = f"{rate:g} rows a second, of all workers"
        return wait, Reason(reason="rate", value=f"a page in {wait:.2f} s", limit=limit)

    def take(self, rows: int, following: int) -> None:
        """Begin a page of ``rows``, and book ``following`` for the next one."""
        booking, self._booking = self._booking, None
        if booking is not None:
            self._give_back(booking.rows - rows, booking.rate)
            self._want(following)

    def give_back(self, rows: int) -> None:
        """Take back ``rows`` of a page that had fewer than were asked for, but for those of a moment.

        Many shards may end at once: if all that did not come then came later, a second would have too many.
        """
        self._give_back(rows - self.most, self._course.settings.rate)

    async def pause(self, seconds: float) -> None:
        """Sleep for ``seconds``, or until the budget has answered."""
        with move_on_after(seconds):
            await self._news.wait()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Read a page within ``async with``: it begins once the page has its place among those at once."""
        if self._course.settings.pages is None:
            yield
            return
        name = secrets.token_bytes(8)
        try:
            await self._enter(name)
            yield
        finally:
            self._page = None
            self._later(partial(self._budget.end, name))

    async def _enter(self, name: bytes) -> None:
        pause, course = _FULL, self._course
        while (pages := course.settings.pages) is not None:
            reason = first_reason(course.limits, course.meter.readings())
            if reason is None:
                answer, error = await self._asked(partial(self._budget.begin, name, pages, lease=_LEASE))
                if error is not None:
                    reason = self._unanswered(error)
                    pause = min(_LONGEST_PAUSE, 2 * pause)
                elif not answer[0]:
                    pause, value = min(_LONGEST_FULL, 2 * pause), f"{answer[1]} pages are being read"
                    reason = Reason(reason="pages", value=value, limit=f"{pages} at once, of all workers")
                else:
                    self._page, self._renewed = name, current_time()
                    self._woken.set()
                    break
            self._hold(reason)
            await sleep(pause)
        self._hold(None)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while True:
                self._woken = Event()  # what is wanted from here on is seen
                await self._settle()
                if await self._book() and await self._renew():
                    pause = _FIRST_PAUSE
                    with move_on_after(_LEASE / 3):
                        await self._woken.wait()
                else:
                    await sleep(pause)
                    pause = min(_LONGEST_PAUSE, 2 * pause)
        finally:
            self._drop()
            with CancelScope(deadline=current_time() + _CLOSING, shield=True):
                await self._settle()

    async def _settle(self) -> None:
        """Give back what is to be given back; what is not heard of ends with its lease, or its time."""
        while self._left:
            await self._asked(self._left.pop(0))

    async def _book(self) -> bool:
        rate, rows = self._course.settings.rate, self._wanted
        if rate is None or not rows or self._booking is not None:
            self._wanted, self._error = 0, None
            return True
        wait, error = await self._asked(partial(self._budget.book, rows, rate))
        if error is None:
            self._booking = _Booking(rows=rows, rate=rate, at=current_time() + wait)
            self._wanted = 0
        self._error = error
        news, self._news = self._news, Event()
        news.set()
        return error is None

    async def _renew(self) -> bool:
        pages, page = self._course.settings.pages, self._page
        if pages is None or page is None or current_time() - self._renewed < _LEASE / 3:
            return True
        self._renewed = current_time()
        return (await self._asked(partial(self._budget.begin, page, pages, lease=_LEASE)))[1] is None

    async def _asked(self, call: Callable[[], Awaitable[Any]]) -> tuple[Any, str | None]:
        answer, error = await in_time(call, _ANSWER, "the longest time for an answer")
        return answer, None if error is None else self._course.line(error)

    def _want(self, rows: int) -> None:
        if self._wanted != rows:
            self._wanted = rows
            self._woken.set()

    def _drop(self) -> None:
        booking, self._booking = self._booking, None
        if booking is not None:
            self._give_back(booking.rows, booking.rate)

    def _give_back(self, rows: int, rate: float | None) -> None:
        if rows > 0 and rate is not None:
            self._later(partial(self._budget.give_back, rows, rate))

    def _later(self, call: Callable[[], Awaitable[object]]) -> None:
        self._left.append(call)
        self._woken.set()

    def _unanswered(self, error: str) -> Reason:
        return Reason(reason="budget", value=f"not known: {error}", limit=_ANSWERS)
