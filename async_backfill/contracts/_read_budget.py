"""How much all who read one source may read: rows a second, and pages at once."""

from __future__ import annotations

from typing import Protocol


class ReadBudget(Protocol):
    """The ability to share one rate and one number of pages at once among processes, by one clock.

    Who asks says the rate and the number that hold for him, so each row takes its part of a second from all.
    What is asked for is exact: all rows that may have begun by any time are those of the rate, and one page.
    """

    async def book(self, rows: int, rate: float, /) -> float:
        """Book the next ``rows``, at ``rate`` a second; return the seconds until they may begin, 0.0 for now.

        Those who ask later are told a later time. What is booked and not used is not made up for.
        """
        ...

    async def give_back(self, rows: int, rate: float, /) -> None:
        """Give back ``rows`` booked at ``rate`` that will not come; a time that has passed is gone."""
        ...

    async def begin(self, page: bytes, pages: int, /, *, lease: float) -> tuple[bool, int]:
        """Take one of ``pages`` places for ``page``; return whether it has one, and how many are taken.

        It holds for ``lease`` seconds, and a page that has its place keeps it for as long again. One of
        which nothing is heard for so long has it no more, by the clock of the budget.
        """
        ...

    async def end(self, page: bytes, /) -> None:
        """Give back the place of ``page``, if it has one."""
        ...
