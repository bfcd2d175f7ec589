"""The budget of a fleet: permits that several processes share, and what this one knows of them."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final, TypeVar

from anyio import fail_after

from async_backfill._common.validation import whole
from async_backfill.errors import StoreError
from async_backfill.records import BudgetState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill.contracts import Clock, Permits

_T = TypeVar("_T")

_LOGGER: Final = logging.getLogger("async_backfill.far")
_TIMEOUT: Final = 1.0
_BETWEEN_LOOKS: Final = 1.0


class FleetBudget:
    """Spends and approves ``permits``; it is used as a `async_backfill.backfill.budget.BackfillBudget` is.

    ``permits_left`` is what was last heard. Where nobody can be asked there is no permit: a fleet whose
    store is gone must not backfill without a limit.

    :param clock: seconds that never go back.
    """

    def __init__(self, permits: Permits, *, clock: Clock) -> None:
        self._permits = permits
        self._clock = clock
        self._left = 0
        self._next_look = -math.inf

    @property
    def permits_left(self) -> int:
        """Backfills that may still start, as far as is known."""
        return self._left

    @property
    def state(self) -> BudgetState:
        """`NEEDS_APPROVAL` when no permit is known to be left, else `OPEN`."""
        return BudgetState.OPEN if self._left else BudgetState.NEEDS_APPROVAL

    @property
    def is_worth_asking(self) -> bool:
        """Whether a permit is known to be left, or it was not looked for within the last second."""
        return self._left > 0 or self._clock() >= self._next_look

    async def refresh(self) -> None:
        """Look how many are left."""
        self._next_look = self._clock() + _BETWEEN_LOOKS
        try:
            self._left = await _within_time(self._permits.left)
        except StoreError as error:
            self._left = 0
            _LOGGER.warning("no backfill is started: %s", error)

    async def acquire(self) -> bool:
        """Spend one permit; return ``False`` when none is left, or nobody could be asked."""
        try:
            is_spent, self._left = await _within_time(self._permits.acquire)
        except StoreError as error:
            self._left, self._next_look = 0, self._clock() + _BETWEEN_LOOKS
            _LOGGER.warning("no backfill is started: %s", error)
            return False
        return is_spent

    async def grant(self, backfills: int) -> None:
        """Add ``backfills`` permits, 1 or more.

        :raises StoreError: when that failed; whether they were added is not known then.
        """
        added = whole("n", backfills, least=1)
        self._left = await _within_time(lambda: self._permits.approve(added))


async def _within_time(call: Callable[[], Awaitable[_T]]) -> _T:
    try:
        with fail_after(_TIMEOUT):
            return await call()
    except Exception as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise StoreError(f"the permits of the fleet: {problem}") from error
