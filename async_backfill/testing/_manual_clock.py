"""A clock that only a test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill._common.validation import seconds

if TYPE_CHECKING:
    from async_backfill.contracts import Seconds


class ManualClock:
    """A clock that moves only when `advance` or `sleep` is called; call it for the time in seconds.

    :param start: the time at the start.
    """

    def __init__(self, start: Seconds = 0.0) -> None:
        self._now = seconds("start", start)

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._now

    def advance(self, duration: Seconds) -> None:
        """Move the clock by ``duration`` seconds."""
        self._now += seconds("duration", duration)

    async def sleep(self, duration: Seconds) -> None:
        """Move the clock by ``duration`` seconds without waiting; a replacement for ``anyio.sleep``."""
        self.advance(duration)
