"""Backfill permits that several caches in one process share."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from async_backfill._common.validation import whole
from async_backfill.contracts import Approval

if TYPE_CHECKING:
    from collections.abc import Sequence


class MemoryPermits:
    """A backfill budget in memory, for all caches of a test; implements `Permits`.

    :param permits: the number of permits at the start, 0 or more.
    :raises ConfigurationError: for any other number.
    """

    def __init__(self, permits: int) -> None:
        self._left = whole("permits", permits, least=0)
        self._approvals: deque[Approval] = deque(maxlen=100)

    async def acquire(self) -> tuple[bool, int]:
        """Spend one permit if there is one; return whether one was spent, and how many are left."""
        await checkpoint()
        if not self._left:
            return False, 0
        self._left -= 1
        return True, self._left

    async def approve(self, permits: int, /, *, by: str, reason: str) -> int:
        """Add ``permits``, 1 or more, and remember who approved them and why; return how many are left."""
        added = whole("permits", permits, least=1)
        await checkpoint()
        self._left += added
        self._note(added, by, reason)
        return self._left

    def _note(self, permits: int, by: str, reason: str) -> None:
        number = self._approvals[-1].number + 1 if self._approvals else 1
        self._approvals.append(
            Approval(number=number, permits=permits, by=by, reason=reason, time=time.time())
        )

    async def revoke(self, permits: int | None, /, *, by: str, reason: str) -> tuple[int, int]:
        """Take up to ``permits`` back, ``None`` for all that are left; return how many, and what is left."""
        most = None if permits is None else whole("permits", permits, least=1)
        await checkpoint()
        taken = self._left if most is None else min(most, self._left)
        self._left -= taken
        if taken:
            self._note(-taken, by, reason)
        return taken, self._left

    async def approvals(self) -> Sequence[Approval]:
        """Return the latest hundred approvals, oldest first."""
        await checkpoint()
        return tuple(self._approvals)

    async def left(self) -> int:
        """Return the number of permits left."""
        await checkpoint()
        return self._left
