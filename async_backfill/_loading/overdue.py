"""Overdue source calls: those that go on after their timeout, because they do not yield to cancellation.

At its timeout a call is cancelled, and most end at once. One that runs in a thread, that shields itself or
that catches the cancellation goes on for as long as it likes. It is *abandoned*: those who wait for it are
freed, its place is given to other loads, its answer will be dropped. It is counted until it ends.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final, Generic

from anyio import current_time, get_cancelled_exc_class, sleep
from anyio.lowlevel import checkpoint

from async_backfill._common.error_text import error_line
from async_backfill._common.line_a_second import LineASecond
from async_backfill._common.log_lines import CacheLog
from async_backfill.contracts import K, V
from async_backfill.errors import LoadTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._loading.batch import Batch
    from async_backfill.contracts import Clock, Spawn

_LOGGER: Final = logging.getLogger("async_backfill.load")
_TURNS: Final = 5
_AT_ONCE: Final = 1e-6


class Overdue(Generic[K, V]):
    """Watches the source calls of a loader, and abandons those that do not end at their timeout.

    One task watches all calls, and only while there are any: a timer for each would cost every load.

    :param limit: abandoned calls above which no other call is made until one of them has ended.
    :param timeout: seconds that a call may take; ``None`` watches none.
    :param abandon: called with each batch whose call is abandoned, and the keys that the call asked for.
    :param spawn: starts a task that the cache owns.
    :param now: returns the time of the event loop.
    :param clock: a monotonic clock, in seconds, for the log.
    """

    __slots__ = (
        "_abandon",
        "_begun",
        "_due",
        "_ended",
        "_limit",
        "_now",
        "_spawn",
        "_timeout",
        "_watches",
        "abandoned",
    )

    def __init__(
        self,
        *,
        limit: int,
        timeout: float | None,
        abandon: Callable[[Batch[K, V], tuple[K, ...]], None],
        spawn: Spawn,
        now: Callable[[], float],
        clock: Clock,
        cache: str | None,
    ) -> None:
        self._now = now
        self._limit = limit
        self._timeout = timeout
        self._abandon = abandon
        self._spawn = spawn
        log = CacheLog(_LOGGER, cache)
        self._begun, self._ended = LineASecond(log, clock), LineASecond(log, clock)
        # In the order in which they are due: all calls have the same timeout.
        self._due: dict[Batch[K, V], tuple[float, tuple[K, ...]]] = {}
        self._watches = False
        self.abandoned: set[Batch[K, V]] = set()
        """The batches whose call was abandoned and has not ended."""

    @property
    def is_full(self) -> bool:
        """Whether so many abandoned calls still run that no other may begin."""
        return len(self.abandoned) >= self._limit

    def refusal(self) -> LoadTimeoutError:
        """Return the error of a load that makes no call because `is_full`."""
        running = f"{len(self.abandoned)} calls of it run on since their timeout of {self._timeout} s"
        return LoadTimeoutError(f"the source is not called while {running} (LoadPolicy.concurrency)")

    def begin(self, batch: Batch[K, V], asked: tuple[K, ...]) -> float:
        """Watch a call of ``batch`` and return when it must have ended; `end` must follow."""
        if self._timeout is None:
            return math.inf
        due = self._now() + self._timeout
        self._due[batch] = due, asked
        if not self._watches:
            self._watches = True
            self._spawn(self._watch)
        return due

    def end(self, batch: Batch[K, V]) -> None:
        """Take note that the call of ``batch`` has ended."""
        self._due.pop(batch, None)

    def outlived(self, batch: Batch[K, V], error: BaseException | None) -> None:
        """Take note that the abandoned load of ``batch`` has ended after all, maybe with ``error``."""
        self.abandoned.discard(batch)
        cause = None if error is None else error.__cause__ or error
        if cause is not None and not isinstance(cause, get_cancelled_exc_class()):
            ended = "a source call that had been given up at its timeout has ended"
            self._ended.warning("%s with %s", ended, error_line(cause))

    async def _watch(self) -> None:
        try:
            # Although the first call may have ended by now: a new task at each load would keep all loads from
            # beginning at once.
            left = self._timeout or 0.0
            while True:
                if left > _AT_ONCE:
                    await sleep(left)
                if not self._due:
                    return
                due = next(iter(self._due.values()))[0]
                if (left := due - current_time()) > _AT_ONCE:
                    continue
                # It was cancelled in this turn; what yields to that ends within a few.
                for _ in range(_TURNS):
                    await checkpoint()
                self._give_up_what_is_due(current_time() + _AT_ONCE)
        finally:
            self._watches = False

    def _give_up_what_is_due(self, now: float) -> None:
        for batch, (due, asked) in tuple(self._due.items()):
            if due > now:
                break
            self._give_up(batch, asked)

    def _give_up(self, batch: Batch[K, V], asked: tuple[K, ...]) -> None:
        del self._due[batch]
        self.abandoned.add(batch)
        self._abandon(batch, asked)
        running = f"{len(self.abandoned)} such calls run now"
        self._begun.warning(
            f"a source call for {len(asked)} keys did not end when it was cancelled at its timeout of "
            f"{self._timeout} s (LoadPolicy.timeout); nobody waits for it any more, {running}"
        )
