"""Read-through: load a batch from the far tier (L2) first, then from the source what is not there."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic

from anyio import CancelScope, current_time, sleep_until

from async_backfill._far.stale_copies import StaleCopies
from async_backfill._loading.batch import BatchState
from async_backfill._loading.batch_calls import Answer
from async_backfill.contracts import K, V
from async_backfill.errors import StoreError
from async_backfill.outcomes import Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._far.writes import FarWrites
    from async_backfill._loading.batch import Batch
    from async_backfill._loading.batch_calls import BatchCalls
    from async_backfill._loading.eager_step import EagerSteps, Raised, Rest
    from async_backfill._loading.timed_call import Ended
    from async_backfill._loading.workers import Worker
    from async_backfill.far_tier import FarTier
    from async_backfill.records import CircuitState

_A_TENTH: Final = 0.1
_EAGER_LOOKS: Final = 2
_BETWEEN_LOOKS: Final = 0.05


class ReadThrough(Generic[K, V]):
    """Loads batches from the far tier ``tier`` first, then through ``source_calls`` what is not there.

    It takes the place of ``source_calls`` in the loader, inside the key locks: so the batch that the locks
    made is read in one call (decision 37 in notes.md). A failing or slow far tier is never an error,
    and costs at most its timeout.

    :param source_calls: calls the source.
    :param calls: calls the tier's store, with a timeout and a circuit breaker.
    :param writes: writes to the far tier, and knows the keys whose copies there may be stale.
    :param ttl: seconds for which a copy is fresh; ``None`` for ever.
    :param stale_for: seconds after that in which it answers a live miss whose load fails.
    :param seconds_left: returns how long a key stays fresh in memory; ``None`` when nothing expires.
    :param patience: seconds to wait in all for the loads of other processes; ``None`` for no limit.
    """

    def __init__(
        self,
        source_calls: BatchCalls[K, V],
        tier: FarTier[K, V],
        calls: GuardedCalls,
        writes: FarWrites[K, V],
        *,
        ttl: float | None,
        stale_for: float,
        seconds_left: Callable[[K], float] | None,
        patience: float | None,
    ) -> None:
        self._source_calls = source_calls
        self._store = tier.store
        self._leases = tier.leases
        self._calls = calls
        self._writes = writes
        self._ttl = math.inf if ttl is None else ttl
        self._stale_for = stale_for
        self._seconds_left = seconds_left
        self._patience = math.inf if patience is None else patience

    @property
    def circuit(self) -> CircuitState | None:
        """The state of the source's circuit; ``None`` when there is none."""
        return self._source_calls.circuit

    @property
    def may_begin(self) -> bool:
        """Whether `begin` may be called: never, because the far tier must be asked first."""
        return False

    def begin(
        self, batch: Batch[K, V], worker: Worker[Any], steps: EagerSteps
    ) -> Ended[K, V] | Rest[dict[K, V | Failed]] | Raised:
        """Do what `BatchCalls.begin` does."""
        return self._source_calls.begin(batch, worker, steps)

    async def load(self, batch: Batch[K, V], scope: CancelScope) -> Answer[K, V] | Ended[K, V]:
        """Load ``batch`` from the far tier, and the rest from the source; see `BatchCalls.load`."""
        if not batch.is_landed:
            batch.state = BatchState.LOADING
        progress = _Progress(batch, scope, self._source_calls, self._writes)
        keys = tuple(batch.keys)
        # A key whose explicit change is not confirmed is not read from the far tier, which may still
        # hold its old value: decision 39 in notes.md.
        if self._writes.all_settled:
            unsettled: tuple[K, ...] = ()
        else:
            unsettled = tuple(key for key in keys if self._writes.is_unsettled(key))
            keys = tuple(key for key in keys if not self._writes.is_unsettled(key))
            self._writes.nudge()
        tokens: Mapping[K, bytes] | None = None
        rest: Sequence[K] = ()
        with _interruptible(batch):
            rest = await self._read(progress, keys)
            if batch.cause is not LoadCause.REFRESH:
                tokens = await self._acquire(progress, rest)
        mine = rest if tokens is None else [key for key in rest if key in tokens]
        await progress.ask((*unsettled, *mine), tokens or {})
        if tokens is not None and len(mine) < len(rest):
            await self._wait_for_others(progress, [key for key in rest if key not in tokens])
        return progress.answer()

    async def _read(self, progress: _Progress[K, V], keys: Sequence[K]) -> Sequence[K]:
        """Read ``keys`` from the far tier; return those that must be loaded."""
        if not keys:
            return keys
        try:
            copies = await self._calls.call("get", lambda: self._store.get_many(keys))
        except StoreError:
            progress.store_failed = True
            return keys
        # A refresh takes only a copy that is clearly younger, or an early refresh would find its own
        # value again, for ever: decision 37 in notes.md.
        is_refresh = progress.batch.cause is LoadCause.REFRESH
        for key in keys:
            copy = copies.get(key)
            left = -math.inf if copy is None else self._ttl - copy.age
            if copy is not None and left > 0.0 and not (is_refresh and self._is_no_newer(key, left)):
                progress.found[key] = copy.value
                progress.copies[key] = left
            elif copy is not None and progress.batch.cause is LoadCause.MISS:
                progress.stale.keep(key, copy, left, self._stale_for)
        found = len(keys) - (len(rest := [key for key in keys if key not in progress.found]))
        self._calls.hits += found
        self._calls.misses += len(rest)
        return rest

    def _is_no_newer(self, key: K, left: float) -> bool:
        """Return whether a copy that stays fresh ``left`` seconds is hardly younger than that in memory."""
        if self._seconds_left is None or math.isinf(self._ttl):
            return False
        return left <= self._seconds_left(key) + _A_TENTH * self._ttl

    async def _acquire(self, progress: _Progress[K, V], keys: Sequence[K]) -> Mapping[K, bytes] | None:
        """Return the tokens of the leases acquired; ``None`` without leases, or when the far tier failed."""
        leases = self._leases
        if leases is None or progress.store_failed:
            return None
        if not keys:
            return {}
        try:
            return await self._calls.call("lease", lambda: leases.acquire_many(keys))
        except StoreError:
            return None

    async def _wait_for_others(self, progress: _Progress[K, V], keys: Sequence[K]) -> None:
        """Wait for ``keys`` that other processes load; load those they give up, or all if they take long."""
        if self._leases is None:
            return
        # `changed` returns when a lease of these keys has ended, or may have. Then value and lease are
        # looked up again, after the first looks at most once in 50 ms: decision 38 in notes.md.
        until, looks = current_time() + self._patience, 0
        with self._leases.watch(keys) as changed:
            while keys and progress.goes_on:
                tokens: Mapping[K, bytes] | None = None
                looked = current_time()
                with _interruptible(progress.batch):
                    keys = await self._read(progress, keys)
                    tokens = await self._acquire(progress, keys)
                    if tokens is not None and not tokens and keys:
                        looks += 1
                        with CancelScope(deadline=until):
                            await changed()
                            if looks > _EAGER_LOOKS:
                                await sleep_until(looked + _BETWEEN_LOOKS)
                if tokens is None or current_time() >= until:
                    await progress.ask(keys, tokens or {})
                    return
                await progress.ask([key for key in keys if key in tokens], tokens)
                keys = [key for key in keys if key not in tokens]


class _Progress(Generic[K, V]):
    """The progress of one batch: what was found in the far tier, and the source calls."""

    def __init__(
        self, batch: Batch[K, V], scope: CancelScope, source_calls: BatchCalls[K, V], writes: FarWrites[K, V]
    ) -> None:
        self.batch = batch
        self.found: dict[K, V | Failed] = {}
        self.copies: dict[K, float] = {}
        self.stale: StaleCopies[K, V] = StaleCopies()
        self.store_failed = False
        self._scope = scope
        self._source_calls = source_calls
        self._writes = writes
        self._asked: list[tuple[Sequence[K], Answer[K, V] | Ended[K, V]]] = []

    @property
    def goes_on(self) -> bool:
        """Whether a caller still waits, and the task may make another call."""
        ended = self._asked[-1][1] if self._asked else None
        return not (self.batch.is_landed or (ended is not None and (ended.stopped or ended.must_stop)))

    async def ask(self, keys: Sequence[K], tokens: Mapping[K, bytes]) -> None:
        """Load ``keys`` from the source, and queue the values to be written under their leases.

        :param tokens: the tokens of the leases; those without a value are released.
        """
        values: dict[K, V] = {}
        give_back = self._source_calls.on_abandon
        if tokens:
            give_back[self.batch] = lambda: self._writes.leased({}, tokens)
        try:
            if keys and self.goes_on:
                answer = await self._source_calls.load(self.batch, self._scope, keys)
                self._asked.append((keys, answer))
                if answer.error is None:
                    for key in tokens:
                        value = answer.found.get(key)
                        if key in answer.found and not isinstance(value, Failed):
                            values[key] = answer.found[key]  # type: ignore[assignment] # it is no Failed
        finally:
            # A call that was abandoned has given its leases back, and its answer is dropped.
            if give_back.pop(self.batch, None) is not None:
                self._writes.leased(values, tokens)

    def answer(self) -> Answer[K, V] | Ended[K, V]:
        """Return the outcome of the batch."""
        self.batch.copies = self.copies
        if not (self.found or self.stale) and len(self._asked) == 1:
            return self._asked[0][1]
        answer: Answer[K, V] = Answer(self.found)
        found = dict(self.found)
        for keys, ended in self._asked:
            if ended.error is None:
                found.update(ended.found)
            else:
                found.update(dict.fromkeys(keys, Failed(ended.error)))
            if isinstance(ended.error, (KeyboardInterrupt, SystemExit)):
                answer.error = ended.error
            answer.must_stop = answer.must_stop or ended.must_stop
            answer.stopped = answer.stopped or ended.stopped
            answer.calls = (*answer.calls, *ended.calls)
        self.stale.answer(found, self.copies)
        answer.found = found
        answer.seconds = self._asked[0][1].seconds if self._asked else 0.0
        return answer


@contextmanager
def _interruptible(batch: Batch[Any, Any]) -> Iterator[None]:
    """Make what is awaited inside ``with`` end when ``batch`` is given up."""
    with CancelScope() as scope:
        batch.scope = scope
        try:
            yield
        finally:
            batch.scope = None
