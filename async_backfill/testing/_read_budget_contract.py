"""Contract tests for a budget of reads that processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio import sleep

from async_backfill.testing._calls import give_up, moments, together
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from async_backfill.contracts import ReadBudget

_LONG: Final = 3600.0
_NEAR: Final = 60.0  # seconds that a slow machine may need for a test


class ReadBudgetContract:
    """Tests of the promises of `ReadBudget`; inherit, and give the fixtures ``budget`` and ``others``.

    They belong to two processes that share one budget, of which nothing is booked. Use it as
    `FarStoreContract`.
    """

    async def test_who_books_later_begins_later_by_the_rows_before(
        self, budget: ReadBudget, others: ReadBudget
    ) -> None:
        same(await budget.book(10, 10 / _LONG), 0.0, "the first rows begin at once")
        for number in range(1, 4):
            asked = (budget, others)[number % 2]
            _near(await asked.book(10, 10 / _LONG), number * _LONG)

    async def test_each_row_takes_its_part_at_the_rate_of_who_asks(
        self, budget: ReadBudget, others: ReadBudget
    ) -> None:
        await budget.book(10, 10 / _LONG)
        _near(await others.book(10, 20 / _LONG), _LONG)
        _near(await budget.book(1, 1.0), 1.5 * _LONG)

    async def test_all_at_once_are_told_different_times(self, budget: ReadBudget, others: ReadBudget) -> None:
        waits = await together(*[lambda: budget.book(1, 1 / _LONG), lambda: others.book(1, 1 / _LONG)] * 10)
        for number, wait in enumerate(sorted(waits)):
            _near(wait, number * _LONG)

    async def test_rows_given_back_are_there_for_all(self, budget: ReadBudget, others: ReadBudget) -> None:
        await budget.book(10, 10 / _LONG)
        await budget.book(10, 10 / _LONG)
        await others.give_back(5, 10 / _LONG)
        _near(await others.book(1, 1.0), 1.5 * _LONG)

    async def test_a_time_that_has_passed_is_not_given_back(
        self, budget: ReadBudget, others: ReadBudget
    ) -> None:
        await budget.book(1, 1000.0)
        await sleep(0.01)
        await budget.give_back(1, 1 / _LONG)
        same(await others.book(1, 1 / _LONG), 0.0, "rows begin now")
        _near(await budget.book(1, 1.0), _LONG)

    async def test_no_more_pages_than_allowed_have_a_place(
        self, budget: ReadBudget, others: ReadBudget
    ) -> None:
        names = [b"page %d" % number for number in range(10)]
        answers = await together(
            *[
                lambda asked=asked, name=name: asked.begin(name, 4, lease=_LONG)
                for asked, name in zip([budget, others] * 5, names, strict=True)
            ]
        )
        taken = sorted(number for has_place, number in answers if has_place)
        same(taken, [1, 2, 3, 4], "each place is taken once")
        same([n for has_place, n in answers if not has_place], [4] * 6, "the others are told how many are")

    async def test_a_page_keeps_the_place_it_has(self, budget: ReadBudget, others: ReadBudget) -> None:
        await budget.begin(b"one", 1, lease=_LONG)
        same(await others.begin(b"one", 1, lease=_LONG), (True, 1), "it keeps its place")
        same(await others.begin(b"two", 1, lease=_LONG), (False, 1), "another has none")
        same(await others.begin(b"two", 2, lease=_LONG), (True, 2), "unless more are allowed")

    async def test_a_place_given_back_is_free_for_all(self, budget: ReadBudget, others: ReadBudget) -> None:
        await budget.begin(b"one", 1, lease=_LONG)
        await others.end(b"unknown")
        same(await others.begin(b"two", 1, lease=_LONG), (False, 1), "the end of no page gives back nothing")
        await budget.end(b"one")
        await budget.end(b"one")
        same(await others.begin(b"two", 1, lease=_LONG), (True, 1), "its place is free")

    async def test_the_place_of_a_page_that_is_lost_is_free_after_its_lease(
        self, budget: ReadBudget, others: ReadBudget
    ) -> None:
        await others.begin(b"one", 2, lease=_LONG)
        await budget.begin(b"lost", 2, lease=0.05)
        await sleep(0.1)
        same(await others.begin(b"two", 2, lease=_LONG), (True, 2), "its lease is over, and no other is")

    async def test_a_cancelled_call_does_what_it_does_once_at_the_most(
        self, budget: ReadBudget, others: ReadBudget
    ) -> None:
        rate = 1 / _LONG
        for moment in await moments(lambda: budget.book(1, rate)):
            before = await others.book(1, rate)
            await give_up(lambda: budget.book(1, rate), moment)
            booked = (await others.book(1, rate) - before) / _LONG
            holds(f"{booked} pages were booked", kept=abs(booked - 1) < 0.1 or abs(booked - 2) < 0.1)


def _near(wait: float, expected: float) -> None:
    told = f"rows begin after {wait} s, where {expected} s are right"
    holds(told, kept=expected - _NEAR <= wait <= expected + 0.001)
