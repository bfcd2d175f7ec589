"""The bounded semaphore that holds automatic backfills to ``max_backfills``."""

from __future__ import annotations

from async_backfill._common.validation import whole, whole_or_none
from async_backfill.errors import ConfigurationError
from async_backfill.records import BudgetState


class BackfillBudget:
    """Hands out ``max_backfills`` permits, then none until a person approves more.

    A permit is spent when a backfill starts and never given back, also when the backfill fails:
    a failing source must not be asked without end.

    :param max_backfills: permits at the start, 0 or more; ``None`` for no limit.
    :raises ConfigurationError: for any other value.
    """

    def __init__(self, max_backfills: int | None = None) -> None:
        self._left = whole_or_none("max_backfills", max_backfills, least=0)

    @property
    def permits_left(self) -> int | None:
        """Backfills that may still start; ``None`` without a limit."""
        return self._left

    @property
    def state(self) -> BudgetState:
        """``NEEDS_APPROVAL`` when no permit is left, else ``OPEN``."""
        return BudgetState.NEEDS_APPROVAL if self._left == 0 else BudgetState.OPEN

    def acquire_nowait(self) -> bool:
        """Spend one permit; return ``False``, changing nothing, when none is left."""
        if self._left is None:
            return True
        if not self._left:
            return False
        self._left -= 1
        return True

    @property
    def is_worth_asking(self) -> bool:
        """Whether a permit is left."""
        return self._left != 0

    async def refresh(self) -> None:
        """Look how many are left, where others spend them too: here nobody does."""

    async def acquire(self) -> bool:
        """Do as `acquire_nowait`."""
        return self.acquire_nowait()

    async def grant(self, backfills: int) -> None:
        """Do as `approve`."""
        self.approve(backfills)

    def approve(self, backfills: int) -> None:
        """Add ``backfills`` permits, 1 or more; `ConfigurationError` where there is no limit to raise."""
        added = whole("n", backfills, least=1)
        if self._left is None:
            raise ConfigurationError("max_backfills", "there is no limit, so there is nothing to approve")
        self._left += added
