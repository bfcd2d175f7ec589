"""The budget: a bounded semaphore that limits automatic backfills to ``max_backfills``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill._common.validation import whole, whole_or_none
from async_backfill.errors import ConfigurationError
from async_backfill.records import BudgetState

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BackfillBudget"]


class BackfillBudget:
    """Hands out ``max_backfills`` permits, then none until a person approves more.

    A permit is spent when a backfill starts and is never given back, even if the backfill fails: a
    failing source must not be called without end (decision 4 in notes.md).

    ``changed``
        is called with the budget when the number of permits has changed.

    :param max_backfills: the number of permits at the start, 0 or more; ``None`` for no limit.
    :raises ConfigurationError: for any other value.
    """

    def __init__(self, max_backfills: int | None = None) -> None:
        self._left = whole_or_none("max_backfills", max_backfills, least=0)
        self.changed: Callable[[BackfillBudget], object] = lambda _: None

    @property
    def permits_left(self) -> int | None:
        """Backfills that may still start; ``None`` without a limit."""
        return self._left

    @property
    def state(self) -> BudgetState:
        """``NEEDS_APPROVAL`` when no permit is left, else ``OPEN``."""
        return BudgetState.NEEDS_APPROVAL if self._left == 0 else BudgetState.OPEN

    def acquire_nowait(self) -> bool:
        """Spend a permit and return ``True``; return ``False`` when none is left."""
        if self._left is None:
            return True
        if not self._left:
            return False
        self._left -= 1
        self.changed(self)
        return True

    @property
    def is_known(self) -> bool:
        """Whether ``permits_left`` is known: always, because no other process spends these permits."""
        return True

    @property
    def is_worth_asking(self) -> bool:
        """Whether a permit is left."""
        return self._left != 0

    async def refresh(self) -> None:
        """Do nothing: no other process spends these permits."""

    async def acquire(self) -> bool:
        """Do what `acquire_nowait` does."""
        return self.acquire_nowait()

    async def grant(self, backfills: int, *, by: str, reason: str) -> None:  # noqa: ARG002 - as a fleet's
        """Do what `approve` does."""
        self.approve(backfills)

    async def withdraw(self, backfills: int | None, *, by: str, reason: str) -> int:  # noqa: ARG002 - as above
        """Do what `revoke` does."""
        return self.revoke(backfills)

    def revoke(self, backfills: int | None = None) -> int:
        """Take up to ``backfills`` permits back, 1 or more, or all that are left; return how many.

        :raises ConfigurationError: for fewer, or when there is no limit.
        """
        most = whole_or_none("n", backfills, least=1)
        if self._left is None:
            raise ConfigurationError(
                "max_backfills", "is None: there is no limit, so there is nothing to take back; pause instead"
            )
        taken = self._left if most is None else min(most, self._left)
        if taken:
            self._left -= taken
            self.changed(self)
        return taken

    def approve(self, backfills: int) -> None:
        """Add ``backfills`` permits, 1 or more.

        :raises ConfigurationError: for fewer, or when there is no limit.
        """
        added = whole("n", backfills, least=1)
        if self._left is None:
            raise ConfigurationError(
                "max_backfills", "is None: there is no limit, so there is nothing to approve"
            )
        self._left += added
        self.changed(self)
