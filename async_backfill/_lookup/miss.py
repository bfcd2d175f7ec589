"""Answer the miss of one key: from what is known, or with a load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, cast

from async_backfill._loading.batch import Batch
from async_backfill._loading.cycles import outer_batch, running_batch
from async_backfill._loading.lone_load import NOT_NOW
from async_backfill._lookup.answering import Later
from async_backfill._lookup.boarding import make_board
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent, Failed, MissCause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._loading.eager_step import EagerSteps
    from async_backfill._loading.loader import Loader
    from async_backfill._lookup.counters import Counters
    from async_backfill._lookup.miss_watch import MissWatch
    from async_backfill._lookup.slow_paths import SlowPaths
    from async_backfill.backfill._history.recorder import HeatRecorder

_COLD: Final = MissCause.COLD


class EventLoop(Protocol):
    """An event loop that was found running, to be compared with the one that runs now."""

    loop: object
    running: Callable[[], object]

    def require_here(self) -> None:
        """Raise `CacheClosedError` where another event loop runs, or none."""
        ...


class Misses(Generic[K, V]):
    """Answers lookups that are no hits, and counts them.

    See `Answering` for its three steps.

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
        self._may_know = paths.may_know
        self._has_more = companions is not None or counters.causes is not None
        self._loader = loader
        self._join, self._lone_load = loader.batch_queue.join, loader.lone_load
        self._live = loader.batch_queue.queued.queues[0]
        self._board = make_board(loader.batch_queue, counters)
        self._miss_watch = miss_watch
        self._watches = miss_watch.listens
        self._read, self._steps = paths.read, loader.eager_steps
        self._counters = counters
        self._heat = heat
        self._companions = companions

    def begin(  # noqa: PLR0911 - each call would show in the cost of a miss
        self, key: K
    ) -> V | Absent | Batch[K, V] | Later[V]:
        """Return the value of ``key``, which has no fresh one, or its absence, or what is to be awaited.

        That is a batch, which counts the caller among its waiters, or `Later`.

        :raises LoadError: when the source failed at once.
        :raises CacheClosedError: when the cache was closed, or opened in another event loop.
        """
        if self._running() is not self._loop:
            self._opened_in.require_here()
        steps = self._steps
        if steps is not None and not steps.left:
            return Later(self._in_the_next_turn(key, steps))
        may_know = self._may_know
        if self._has_more or running_batch.get() is not None or (may_know is not None and may_know(key)):
            return Later(self._answer(key))
        counters = self._counters
        counters.misses += 1
        if self._watches and self._is_due(_COLD):
            return Later(self._answer(key, is_due=True))
        if self._heat is not None:
            self._heat.missed((key,))
        # Where others have missed in this turn of the event loop, as most of a burst, one call is enough.
        if self._live and (boarded := self._board(key)) is not None:
            return boarded
        value: Any = NOT_NOW if self._lone_load is None else self._lone_load(key)
        if value is NOT_NOW:
            value, led = self._join(key)
            counters.led += led
        else:
            counters.led += 1
            if type(value) is not Batch:
                found: V = value
                return found
        batch: Batch[K, V] = value
        if batch.is_landed:
            return self.ended(key, batch)
        batch.waiters += 1
        return batch

    def turn(self, *, off: bool) -> None:
        """Answer while the cache is ``off``: the value of a load that ends at once must not be kept."""
        self._lone_load = None if off else self._loader.lone_load

    def leave(self, batch: Batch[K, V]) -> None:
        """Take note that a caller who waited for ``batch`` does so no longer."""
        batch.waiters -= 1
        if not (batch.waiters or batch.is_landed):
            self._loader.give_up(batch)

    def ended(self, key: K, batch: Batch[K, V]) -> V | Absent | Later[V]:
        """Return the value of ``key``, or its absence, now that ``batch`` has landed, or `Later`.

        :raises LoadError: when the source failed.
        :raises CacheClosedError: when the cache was closed first.
        """
        if batch.error is None:  # the usual case first, and what follows would say the same
            value = batch.found.get(key, ABSENT)
            if value is not ABSENT and type(value) is not Failed:
                return cast("V", value)
        outcome = batch.outcome(key)
        if outcome is not ABSENT or batch.moved is not None:
            # Who has led is of no interest: what came along with a miss may be loaded again, and is not here.
            return Later(self._resolved(key, batch, _COLD, led=False))
        return self._paths.settled(key, outcome, _COLD)

    async def _in_the_next_turn(self, key: K, steps: EagerSteps) -> V | Absent:
        """Let others run, then look ``key`` up again, as if the caller had come only now."""
        await steps.next_turn()
        value = self._read(key, ABSENT)
        if value is ABSENT:
            return await self._answer(key)
        self._counters.hits += 1
        if self._heat is not None:
            self._heat.hit((key,))
        return value

    async def _answer(  # noqa: C901, PLR0912 - see `SlowPaths`, which has parts of this for many keys
        self, key: K, *, is_due: bool = False
    ) -> V | Absent:
        """Answer a miss that is no plain one, or one for which a backfill ``is_due``."""
        cause = _COLD
        if not is_due:
            if self._paths.has_known and (known := await self._paths.known((key,))):
                return known[key]
            cause = self._paths.count_miss(key)
            is_due = self._watches and self._is_due(cause)
        if is_due and (brought := await self._backfilled(key)) is not ABSENT:
            return brought
        if self._heat is not None:
            self._heat.missed((key,))
        is_outermost = running_batch.get() is None or outer_batch() is None
        value: Any = NOT_NOW
        if is_outermost and self._companions is None and self._lone_load is not None:
            value = self._lone_load(key)
        led = value is not NOT_NOW
        if not led:
            value, led = self._join(key)
            if led and self._companions is not None:
                self._loader.batch_queue.enqueue_along(value, self._companions(key))
        self._counters.led += led
        if type(value) is not Batch:
            found: V = value
            return found
        batch: Batch[K, V] = value
        if batch.is_landed:
            pass
        elif is_outermost:  # as in a `get`: a coroutine less for each of the thousands who wait
            batch.waiters += 1
            try:
                await batch.wait()
            except BaseException:
                self.leave(batch)
                raise
        else:
            await self._paths.wait({batch: key}, {key: cause})
        outcome = batch.outcome(key)
        if not isinstance(outcome, (Absent, Failed)):
            return outcome
        return await self._resolved(key, batch, cause, led=led)

    async def _resolved(self, key: K, batch: Batch[K, V], cause: MissCause, *, led: bool) -> V | Absent:
        outcome = batch.outcome(key)
        if isinstance(outcome, (Absent, Failed)) and (outcome is not ABSENT or batch.moved is not None):
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
