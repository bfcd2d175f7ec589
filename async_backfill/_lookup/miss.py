"""Answer the miss of one key: from what is known, or with a load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol

from async_backfill._loading.cycles import outer_batch, running_batch
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent, Failed, MissCause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.loader import Loader
    from async_backfill._lookup.counters import Counters
    from async_backfill._lookup.miss_watch import MissWatch
    from async_backfill._lookup.slow_paths import SlowPaths
    from async_backfill.backfill._history.recorder import HeatRecorder


class EventLoop(Protocol):
    """An event loop that was found running, to be compared with the one that runs now."""

    loop: object
    running: Callable[[], object]

    def require_here(self) -> None:
        """Raise `CacheClosedError` where another event loop runs, or none."""
        ...


class Misses(Generic[K, V]):
    """Answers lookups that are no hits, and counts them.

    :param miss_watch: decides when a backfill is due, and offers it.
    :param heat: records which keys are looked up; ``None`` without history.
    :param companions: the keys to load along with a missed key.
    :param opened_in: where this must be used.
    """

    def __init__(
        self,
        paths: SlowPaths[K, V],
        loader: Loader[K, V],
        *,
        miss_watch: MissWatch[K],
        counters: Counters,
        heat: HeatRecorder[K] | None,
        companions: Callable[[K], Sequence[K]] | None,
        opened_in: EventLoop,
    ) -> None:
        self._opened_in = opened_in
        self._loop, self._running = opened_in.loop, opened_in.running
        self._paths = paths
        self._has_known = paths.has_known
        self._loader = loader
        self._miss_watch = miss_watch
        self._watches = miss_watch.listens
        self._counters = counters
        self._heat = heat
        self._companions = companions

    async def answer(self, key: K) -> V | Absent:  # noqa: C901, PLR0912 - see below
        """Return the value of ``key``, which has no fresh one, or its absence.

        :raises LoadError: when the source failed and there is no stale value.
        :raises CacheClosedError: when the cache closes first, or was opened in another event loop.
        """
        if self._running() is not self._loop:
            self._opened_in.require_here()
        # Much of this stands in one function, and repeats what `SlowPaths` has: each call and each coroutine
        # would show in the cost of a lone miss and of a stampede (decisions 32 and 33 in notes.md).
        if self._has_known and (known := await self._paths.known((key,))):
            return known[key]
        cause = MissCause.COLD
        if self._counters.causes is None:
            self._counters.misses += 1
        else:
            cause = self._paths.count_miss(key)
        if self._watches and self._is_due(cause) and (value := await self._backfilled(key)) is not ABSENT:
            return value
        if self._heat is not None:
            self._heat.missed((key,))
        is_outermost = running_batch.get() is None or outer_batch() is None
        batch, led = self._join(key, is_outermost=is_outermost)
        self._counters.led += led
        if batch.is_landed:
            pass
        elif is_outermost:
            # As `wait` does: a coroutine less for each of the thousands that wait for one load.
            batch.waiters += 1
            try:
                await batch.done.wait()
            finally:
                batch.waiters -= 1
                if not (batch.waiters or batch.is_landed):
                    self._loader.give_up(batch)
        else:
            await self._paths.wait({batch: key}, {key: cause})
        outcome = batch.outcome(key)
        if not isinstance(outcome, (Absent, Failed)):
            return outcome
        if outcome is not ABSENT or batch.moved is not None:
            outcome = await self._paths.resolved(key, batch, cause, led=led)
        return self._paths.settled(key, outcome, cause)

    def _is_due(self, cause: MissCause) -> bool:
        """Report a miss to the watch; return whether it calls for a backfill."""
        due = self._miss_watch.missed(cause)
        if self._miss_watch.has_usefulness:
            self._miss_watch.write()
        return due

    async def _backfilled(self, key: K) -> V | Absent:
        """Offer a backfill; return the value of ``key`` if that was waited for, and brought it."""
        if not await self._miss_watch.backfilled():
            return ABSENT
        value = self._paths.found_since(key)
        if value is not ABSENT:
            self._paths.note((key,))
        return value

    def _join(self, key: K, *, is_outermost: bool) -> tuple[Batch[K, V], bool]:
        if self._companions is None and is_outermost:
            return self._loader.join_at_once(key)
        batch, led = self._loader.batch_queue.join(key)
        if led and self._companions is not None:
            self._loader.batch_queue.enqueue_along(batch, self._companions(key))
        return batch, led
