"""A budget of reads that several workers in one process share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from async_backfill._common.validation import positive_seconds, real, whole
from async_backfill.contracts import ReadBudget
from async_backfill.testing._network_link import NetworkLink

if TYPE_CHECKING:
    from async_backfill.contracts import Clock


class MemoryReadBudget(ReadBudget):
    """A budget of reads in memory, for all workers of a test; implements `ReadBudget`.

    ``link``, a `NetworkLink`, makes it slow or broken. ``rows`` are those that were booked and not given
    back.

    :param clock: a function that returns seconds that never go back.
    """

    def __init__(self, *, clock: Clock = anyio.current_time) -> None:
        self._clock = clock
        self._booked = 0.0
        self._leases: dict[bytes, float] = {}
        self.link = NetworkLink()
        self.rows = 0

    @property
    def pages(self) -> int:
        """How many pages have a place now."""
        now = self._clock()
        return sum(end > now for end in self._leases.values())

    async def book(self, rows: int, rate: float, /) -> float:
        """Book the next ``rows``; return the seconds until they may begin."""
        cost = _seconds(rows, rate)
        await self.link.there()
        begin = max(self._booked, now := self._clock())
        self._booked = begin + cost
        self.rows += rows
        await self.link.back()
        return begin - now

    async def give_back(self, rows: int, rate: float, /) -> None:
        """Give back ``rows`` that will not come."""
        cost = _seconds(rows, rate)
        await self.link.there()
        self.rows -= rows
        if self._booked > (now := self._clock()):
            self._booked = max(now, self._booked - cost)
        await self.link.back()

    async def begin(self, page: bytes, pages: int, /, *, lease: float) -> tuple[bool, int]:
        """Take one of ``pages`` places for ``page``; return whether, and how many are taken."""
        most, seconds = whole("pages", pages, least=1), positive_seconds("lease", lease)
        await self.link.there()
        now = self._clock()
        self._leases = {each: end for each, end in self._leases.items() if end > now}
        is_taken = page in self._leases or len(self._leases) < most
        if is_taken:
            self._leases[page] = now + seconds
        taken = len(self._leases)
        await self.link.back()
        return is_taken, taken

    async def end(self, page: bytes, /) -> None:
        """Give back the place of ``page``."""
        await self.link.there()
        self._leases.pop(page, None)
        await self.link.back()


def _seconds(rows: int, rate: float) -> float:
    return whole("rows", rows, least=1) / real("rate", rate, least=1e-9, most=1e15)
