"""Contract tests for backfill permits that processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.testing._calls import give_up, moments, together
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from async_backfill.contracts import Permits


class PermitsContract:
    """Tests of the promises of `Permits`; inherit from it, and give the fixtures ``permits`` and ``others``.

    They belong to two processes that share one budget. Use it as `FarStoreContract`.
    """

    granted: int
    """The number of permits when a test begins: 2 or more."""

    async def test_each_permit_is_spent_once(self, permits: Permits, others: Permits) -> None:
        for left in reversed(range(self.granted)):
            asked = (permits, others)[left % 2]
            same(await asked.acquire(), (True, left), "a permit is spent, and the rest is left")
        for asked in (permits, others):
            same(await asked.acquire(), (False, 0), "when none is left none is spent")
            same(await asked.left(), 0, "none is left")

    async def test_looking_spends_nothing(self, permits: Permits, others: Permits) -> None:
        for asked in (permits, others, permits):
            same(await asked.left(), self.granted, "all are left")

    async def test_approved_permits_are_there_for_all(self, permits: Permits, others: Permits) -> None:
        same(await permits.approve(3, by="ada", reason="why"), self.granted + 3, "approved permits are added")
        same(await others.left(), self.granted + 3, "all processes have them")
        for _ in range(self.granted + 3):
            await others.acquire()
        same(await permits.approve(1, by="ada", reason="why"), 1, "they can be added when none is left")
        same(await others.acquire(), (True, 0), "and be spent")

    async def test_permits_that_are_left_are_taken_back_from_all(
        self, permits: Permits, others: Permits
    ) -> None:
        left = self.granted - 1
        same(await permits.revoke(1, by="ada", reason="why"), (1, left), "one is taken back")
        same(await others.left(), left, "for all processes")
        same(await others.revoke(left + 5, by="ada", reason="why"), (left, 0), "no more than there are")
        same(await permits.revoke(None, by="ada", reason="why"), (0, 0), "none when none is left")
        await permits.approve(4, by="ada", reason="why")
        same(await others.revoke(None, by="ada", reason="why"), (4, 0), "without a number all of them")
        same(await permits.acquire(), (False, 0), "and then nobody gets one")

    async def test_who_took_permits_back_and_why_is_told_to_all(
        self, permits: Permits, others: Permits
    ) -> None:
        await permits.revoke(1, by="ada", reason='the "source"')
        await permits.revoke(None, by="bob", reason="off duty")
        await permits.revoke(1, by="eve", reason="none is left")
        told = [(found.permits, found.by, found.reason) for found in await others.approvals()]
        taken = [(-1, "ada", 'the "source"'), (1 - self.granted, "bob", "off duty")]
        same(told, taken, "it is noted as an approval of so many less than none")

    async def test_who_approved_and_why_is_told_to_all_oldest_first(
        self, permits: Permits, others: Permits
    ) -> None:
        same(list(await others.approvals()), [], "nobody approved anything yet")
        await permits.approve(2, by="ada", reason="after the deploy")
        await others.approve(1, by="bob", reason='ada \u2013 is "off"\nduty')
        for asked in (permits, others):
            told = [(found.permits, found.by, found.reason) for found in await asked.approvals()]
            approved = [(2, "ada", "after the deploy"), (1, "bob", 'ada \u2013 is "off"\nduty')]
            same(told, approved, "all processes are told of all approvals")
        numbers = [found.number for found in await permits.approvals()]
        holds(f"the numbers were {numbers}", kept=numbers[0] < numbers[1])

    async def test_all_at_once_spend_what_there_is_and_no_more(
        self, permits: Permits, others: Permits
    ) -> None:
        answers = await together(*[permits.acquire, others.acquire] * self.granted)
        left = sorted(left for is_spent, left in answers if is_spent)
        same(left, list(range(self.granted)), "each permit is spent once")
        same([left for is_spent, left in answers if not is_spent], [0] * self.granted, "the others get none")

    async def test_a_cancelled_acquire_spends_one_at_the_most(
        self, permits: Permits, others: Permits
    ) -> None:
        await permits.approve(100, by="ada", reason="why")
        for moment in await moments(permits.acquire):
            before = await others.left()
            await give_up(permits.acquire, moment)
            spent = before - await others.left()
            holds(f"{spent} were spent", kept=spent in {0, 1})
