"""A clear of the far tier (L2) that failed: nothing there may be used until one succeeds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill._common.line_a_second import LineASecond
from async_backfill.contracts import K
from async_backfill.records import CircuitState

if TYPE_CHECKING:
    from async_backfill._common.log_lines import CacheLog
    from async_backfill._far.change_calls import ChangeCalls
    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill.contracts import Spawn
    from async_backfill.errors import StoreError

_CLEARING: Final = 10.0
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class FailedClear(Generic[K]):
    """Clears the far tier; what failed of it is made again in the background until it succeeds.

    It is made again when there is a `nudge`: 1 s after it failed, then after 2 s, up to each 30 s, but never
    sooner than the last one took. The first has 10 s, the next one 20 s, up to five minutes.

    ``is_owed``
        whether a clear failed, or the message about it, and none has succeeded since.
    ``is_uncleared``
        whether the far tier may have what a clear was to remove.

    :param changes: clears the far tier, and tells the other caches.
    :param spawn: starts a task that the cache owns.
    :param log: names the cache.
    """

    # Not in the task that writes: a clear may take seconds, and a put would wait for it. What is written
    # meanwhile may be removed with the rest, as by any clear of another process: memory has it still. So only
    # what failed is made again: after a message that was lost, the store has what others wrote since.

    def __init__(
        self, changes: ChangeCalls[K, Any], calls: GuardedCalls, spawn: Spawn, log: CacheLog
    ) -> None:
        self._changes = changes
        self._calls = calls
        self._spawn = spawn
        self._log = log
        self._uncleared_line = LineASecond(log, calls.clock)
        self._untold_line = LineASecond(log, calls.clock)
        self._ended = 0
        self._due = 0.0
        self._pause = _FIRST_PAUSE
        self._is_trying = False
        self.is_owed = False
        self.is_uncleared = False

    async def clear(self) -> StoreError | None:
        """Clear the far tier as somebody asks for it, and tell the other caches; return what failed."""
        failure = await self._changes.clear(_CLEARING)
        self._ended += 1
        if failure is None:
            self._cleared()
            failure = await self._changes.publish(None)
            self._ended += 1
            self._told(failure, is_new=True)
        else:
            self.is_owed = self.is_uncleared = True
            self._uncleared_line.warning("the far tier is not read until it could be cleared: %s", failure)
        if failure is not None:
            self._due, self._pause = self._calls.clock() + _FIRST_PAUSE, 2.0 * _FIRST_PAUSE
        return failure

    def nudge(self, key: K) -> None:
        """Make again what is owed, if it is due, and the far tier is called at all.

        :param key: any key: while the circuit is not closed it is read first.
        """
        is_due = self.is_owed and not self._is_trying and self._calls.clock() >= self._due
        if is_due and self._calls.state is not CircuitState.OPEN:
            self._is_trying = True
            self._spawn(partial(self._try, key))

    async def _try(self, key: K) -> None:
        try:
            # The clear is no probe of the circuit: no other call is made until that ends.
            if self._calls.state is not CircuitState.CLOSED and await self._changes.reach(key):
                self._due = self._calls.clock() + _FIRST_PAUSE
                return
            began = self._calls.clock()
            if await self._clear_again():
                now = self._calls.clock()
                self._due = now + max(self._pause, now - began)
                self._pause = min(2.0 * self._pause, _LONGEST_PAUSE)
        finally:
            self._is_trying = False

    async def _clear_again(self) -> bool:
        """Make again what is owed; return whether that failed."""
        ended, is_new = self._ended, self.is_uncleared
        if is_new:
            if await self._changes.clear(_CLEARING * self._pause):
                return True
            if ended != self._ended:  # one that was asked for later has failed, or has done it all
                return False
            self._cleared()
        failure = await self._changes.publish(None)
        if ended == self._ended:
            self._told(failure, is_new=is_new)
        return failure is not None

    def _cleared(self) -> None:
        if self.is_uncleared:
            self.is_uncleared = False
            self._log.info("the far tier was cleared, and is read again")

    def _told(self, failure: StoreError | None, *, is_new: bool) -> None:
        self.is_owed = failure is not None
        if failure is not None and is_new:
            self._untold_line.warning(
                "the far tier was cleared, but others could not be told to forget what they have: %s", failure
            )
