"""A clock that is turned by hand."""

from __future__ import annotations

from async_backfill._common.validation import seconds


class ManualClock:
    """A clock that only moves when it is told to; call it for the time in seconds."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = seconds("start", start)

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._now

    def advance(self, duration: float) -> None:
        """Move on by ``duration`` seconds."""
        self._now += seconds("duration", duration)

    async def sleep(self, duration: float) -> None:
        """Move on by ``duration`` seconds without waiting; stands in for ``anyio.sleep``."""
        self.advance(duration)
