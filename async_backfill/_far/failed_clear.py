"""A clear of the far tier (L2) that failed: nothing there may be used until one succeeds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from async_backfill._common.line_a_second import LineASecond
from async_backfill.records import CircuitState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill.contracts import Spawn
    from async_backfill.errors import StoreError

_LOGGER: Final = logging.getLogger("async_backfill.far")
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class FailedClear:
    """Whether a clear failed and none has succeeded since; it is made again in the background.

    It is made again when there is a `nudge`: 1 s after it failed, then after 2 s, up to each 30 s.

    ``is_owed``
        whether a clear failed, and none has succeeded since.

    :param clear: clears the far tier, and returns the error if that failed.
    :param spawn: starts a task that the cache owns.
    """

    # Not in the task that writes: a clear may take seconds, and a put would wait for it. What is written
    # meanwhile may be removed with the rest, as by any clear of another process: memory has it still.

    def __init__(
        self, clear: Callable[[], Awaitable[StoreError | None]], calls: GuardedCalls, spawn: Spawn
    ) -> None:
        self._clear = clear
        self._calls = calls
        self._spawn = spawn
        self._log = LineASecond(_LOGGER, calls.clock)
        self._ended = 0
        self._due = 0.0
        self._pause = _FIRST_PAUSE
        self._is_trying = False
        self.is_owed = False

    def ended(self, failure: StoreError | None) -> None:
        """Take note of how a clear that somebody asked for has ended."""
        self._ended += 1
        if failure is not None:
            self.is_owed = True
            self._due, self._pause = self._calls.clock() + _FIRST_PAUSE, 2.0 * _FIRST_PAUSE
            self._log.warning("the far tier is not read until it could be cleared: %s", failure)
        elif self.is_owed:
            self.is_owed = False
            _LOGGER.info("the far tier was cleared, and is read again")

    def nudge(self) -> None:
        """Clear again, if that is owed and due, and the far tier is called at all."""
        is_due = self.is_owed and not self._is_trying and self._calls.clock() >= self._due
        if is_due and self._calls.state is not CircuitState.OPEN:
            self._is_trying = True
            self._spawn(self._try)

    async def _try(self) -> None:
        ended = self._ended
        try:
            failure = await self._clear()
        finally:
            self._is_trying = False
        if failure is not None:
            self._due = self._calls.clock() + self._pause
            self._pause = min(2.0 * self._pause, _LONGEST_PAUSE)
        elif ended == self._ended:  # or one that was asked for later has failed
            self.ended(None)
