"""The budget of a fleet: permits that several processes share, and the last known number of them."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final, TypeVar

from anyio import CancelScope, current_time, sleep

from async_backfill._common.attempt import attempt
from async_backfill._common.bounded_call import bounded, result_of
from async_backfill._common.log_lines import CacheLog
from async_backfill._common.validation import whole, whole_or_none
from async_backfill.errors import StoreError
from async_backfill.records import BudgetState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backfill.contracts import Approval, Clock, Permits, Spawn

_T = TypeVar("_T")

_LOGGER: Final = logging.getLogger("async_backfill.far")
_TIMEOUT: Final = 1.0
_BETWEEN_LOOKS: Final = 1.0
_BETWEEN_REFRESHES: Final = 5.0


class FleetBudget:
    """Spends and approves ``permits``, with the methods of `async_backfill.backfill.budget.BackfillBudget`.

    Every five seconds, and whenever it looks for permits, it looks for approvals as well, so that one reaches
    every process of the fleet. ``permits_left`` is the last known number. When the permits cannot be reached,
    none is left: a fleet whose far tier is down must not backfill without a limit.

    A call of the permits ends after a second, whatever it does.

    ``changed``
        is called with the budget when ``permits_left`` or ``is_known`` has changed.
    ``heard``
        is called with each approval of another process, also with permits that one took back.
    ``spawn``
        starts a task that the open cache owns, for calls that do not end when they are cancelled.

    :param permits: the permits that the fleet shares.
    :param clock: a monotonic clock, in seconds.
    :param cache: the name of the cache, for the log.
    """

    def __init__(self, permits: Permits, *, clock: Clock, cache: str | None = None) -> None:
        self._log = CacheLog(_LOGGER, cache)
        self._permits = permits
        self._clock = clock
        self._left = 0
        self._next_look = -math.inf
        self._is_known = False
        self._seen: frozenset[Approval] | None = None
        self._own: list[tuple[int, str, str]] = []
        self.spawn: Spawn | None = None
        self.changed: Callable[[FleetBudget], object] = lambda _: None
        self.heard: Callable[[Approval], object] = lambda _: None

    @property
    def is_known(self) -> bool:
        """Whether ``permits_left`` is what the fleet said: ``False`` while it cannot be asked."""
        return self._is_known

    @property
    def permits_left(self) -> int:
        """Backfills that may still start: the last known number."""
        return self._left

    @property
    def state(self) -> BudgetState:
        """``NEEDS_APPROVAL`` when no permit is known to be left, else ``OPEN``."""
        return BudgetState.OPEN if self._left else BudgetState.NEEDS_APPROVAL

    @property
    def is_worth_asking(self) -> bool:
        """Whether a permit was left when last asked, or that was more than a second ago."""
        return self._left > 0 or self._clock() >= self._next_look

    async def refresh(self) -> None:
        """Ask how many permits are left."""
        self._next_look = self._clock() + _BETWEEN_LOOKS
        try:
            self._know(await self._within_time(self._permits.left))
            approvals = await self._within_time(self._permits.approvals)
        except StoreError as error:
            self._know(None)
            self._log.warning("no backfill is started: %s", error)
        else:
            self._hear(approvals)

    async def watch(self) -> None:
        """Look for permits and approvals every few seconds, until cancelled."""
        while True:
            await sleep(_BETWEEN_REFRESHES)
            await self.refresh()

    def _hear(self, approvals: Sequence[Approval]) -> None:
        """Pass on the approvals that were not there at the last look, and were not given here."""
        seen, self._seen = self._seen, frozenset(approvals)
        if seen is None:
            return
        for approval in approvals:
            facts = (max(0, approval.permits), approval.by, approval.reason)
            if approval in seen:
                continue
            if facts in self._own:
                self._own.remove(facts)
            else:
                self.heard(approval)

    async def acquire(self) -> bool:
        """Spend a permit and return ``True``; return ``False`` when none is left or none can be reached."""
        try:
            is_spent, left = await self._within_time(self._permits.acquire)
            self._know(left)
        except StoreError as error:
            self._know(None)
            self._next_look = self._clock() + _BETWEEN_LOOKS
            self._log.warning("no backfill is started: %s", error)
            return False
        return is_spent

    async def grant(self, backfills: int, *, by: str, reason: str) -> None:
        """Add ``backfills`` permits, 1 or more; all processes of the fleet hear of it.

        :raises StoreError: when the call failed; it is then unknown whether they were added.
        """
        added = whole("n", backfills, least=1)
        facts = (added, by, reason)
        self._own.append(facts)
        try:
            left = await self._within_time(lambda: self._permits.approve(added, by=by, reason=reason))
        except BaseException:
            # If it was added all the same, it is heard of like that of another process.
            if facts in self._own:
                self._own.remove(facts)
            raise
        self._know(left)

    async def withdraw(self, backfills: int | None, *, by: str, reason: str) -> int:
        """Take up to ``backfills`` permits back, 1 or more, or all that are left; return how many.

        :raises StoreError: when the call failed; it is then unknown whether they were taken back.
        """
        most, facts = whole_or_none("n", backfills, least=1), (0, by, reason)
        self._own.append(facts)
        taken = 0
        try:
            taken, left = await self._within_time(lambda: self._permits.revoke(most, by=by, reason=reason))
        finally:
            if not taken and facts in self._own:
                self._own.remove(facts)
        self._know(left)
        return taken

    def _know(self, left: int | None) -> None:
        """Take note of the permits that are left; ``None``: they cannot be reached."""
        before, now = (self._left, self._is_known), (left or 0, left is not None)
        self._left, self._is_known = now
        if now != before:
            self.changed(self)

    async def _within_time(self, call: Callable[[], Awaitable[_T]]) -> _T:
        if self.spawn is None:
            ended = await attempt(call, CancelScope(deadline=current_time() + _TIMEOUT))
        else:
            ended = await bounded(call, _TIMEOUT, self.spawn)
        late = f"TimeoutError: no answer within {_TIMEOUT} s"
        return result_of(ended, "the permits of the fleet are not available", late)
