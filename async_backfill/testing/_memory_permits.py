"""Backfill permits that several caches in one process share."""

from __future__ import annotations

from anyio.lowlevel import checkpoint

from async_backfill._common.validation import whole


class MemoryPermits:
    """A backfill budget in memory, for all caches of a test; implements `Permits`.

    :param permits: the number of permits at the start, 0 or more.
    :raises ConfigurationError: for any other number.
    """

    def __init__(self, permits: int) -> None:
        self._left = whole("permits", permits, least=0)

    async def acquire(self) -> tuple[bool, int]:
        """Spend one permit if there is one; return whether one was spent, and how many are left."""
        await checkpoint()
        if not self._left:
            return False, 0
        self._left -= 1
        return True, self._left

    async def approve(self, permits: int, /) -> int:
        """Add ``permits``, 1 or more; return how many are left."""
        added = whole("permits", permits, least=1)
        await checkpoint()
        self._left += added
        return self._left

    async def left(self) -> int:
        """Return the number of permits left."""
        await checkpoint()
        return self._left
