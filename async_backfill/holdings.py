"""What a cache holds: values, fresh or stale, and keys that are known to be absent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Generic

from async_backfill.contracts import K, V
from async_backfill.events import KeysEvicted
from async_backfill.outcomes import ABSENT, Absent, Failed, LoadCause
from async_backfill.stores.absence import AbsentKeys
from async_backfill.stores.fresh import FreshStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from async_backfill.contracts import BoundedStore, Clock
    from async_backfill.events import Event
    from async_backfill.loading.batch import Batch
    from async_backfill.policies import FreshnessPolicy
    from async_backfill.stats import Counters

_LOGGER: Final = logging.getLogger("async_backfill")


class Holdings(Generic[K, V]):
    """The store of a cache with everything that is kept beside it; it outlives an opening.

    ``read`` is what a hit calls. ``fresh`` and ``absent`` are ``None`` where nothing expires and where
    absence is not remembered.

    :param evicts: whether what a backfill loaded may push out what is in use.
    :param notify: tells the observers.
    """

    def __init__(
        self,
        store: BoundedStore[K, V],
        policy: FreshnessPolicy,
        *,
        evicts: bool,
        counters: Counters,
        notify: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self.fresh: FreshStore[K, V] | None = None
        if policy.ttl is not None:
            self.fresh = FreshStore(store, policy, ttl=policy.ttl, clock=clock)
        self.absent: AbsentKeys[K] | None = None
        if policy.absent_ttl is not None:
            self.absent = AbsentKeys(ttl=policy.absent_ttl, capacity=policy.absent_capacity, clock=clock)
        self.store: BoundedStore[K, V] = store if self.fresh is None else self.fresh
        self.read: Callable[[K, Absent], V | Absent] = self.store.read
        self._evicts = evicts
        self._counters = counters
        self._notify = notify

    def knows(self, key: K) -> bool:
        """Return whether ``key`` has a fresh value or is known to be absent."""
        return self.store.peek(key, ABSENT) is not ABSENT or (self.absent is not None and key in self.absent)

    def put_many(self, items: Mapping[K, V]) -> None:
        """Hold ``items``."""
        if self.absent is not None:
            self.absent.discard(items)
        self._evicted(self.store.set_many(items))

    def delete_many(self, keys: Collection[K]) -> None:
        """Forget ``keys``, values and absence."""
        if self.absent is not None:
            self.absent.discard(keys)
        self.store.delete_many(keys)

    def clear(self) -> None:
        """Forget everything."""
        if self.absent is not None:
            self.absent.clear()
        self.store.clear()

    def evict_oldest(self) -> K:
        """Remove and return the key that the eviction order names next; `LookupError` when empty."""
        key = self.store.evict_oldest()
        self._evicted((key,))
        return key

    def keep(self, batch: Batch[K, V], keys: Sequence[K]) -> None:
        """Keep what ``batch``, which has just landed, found out about ``keys``.

        It never raises: the callers were served, and a value that is not kept is a later miss.
        """
        try:
            if batch.error is None:
                self._keep_outcomes(batch, keys)
            elif self.fresh is not None:
                self.fresh.refresh_failed(keys)
        except Exception:
            _LOGGER.exception("the outcome of %d loaded keys was not kept; callers were served", len(keys))

    def _keep_outcomes(self, batch: Batch[K, V], keys: Sequence[K]) -> None:
        values = batch.values(keys)
        if len(values) < len(keys) and (self.fresh is not None or self.absent is not None):
            outcomes = {key: batch.outcome(key) for key in keys if key not in values}
            absent = [key for key, outcome in outcomes.items() if outcome is ABSENT]
            if self.fresh is not None:
                self.fresh.refresh_failed(
                    [key for key, outcome in outcomes.items() if isinstance(outcome, Failed)]
                )
                self.fresh.delete_many(absent)
            if self.absent is not None:
                self.absent.add(absent)
        if self.absent is not None:
            self.absent.discard(values)
        if batch.cause is not LoadCause.BACKFILL or self._evicts:
            self._set(values, batch.seconds, evict=True)
        else:
            # A key that a live caller came to wait for is no longer the backfill's alone.
            wanted = {key: value for key, value in values.items() if key in batch.wanted}
            self._set(wanted, batch.seconds, evict=True)
            rest = {key: value for key, value in values.items() if key not in batch.wanted}
            self._set(rest, batch.seconds, evict=False)

    def _set(self, values: Mapping[K, V], seconds: float, *, evict: bool) -> None:
        if self.fresh is None:
            self._evicted(self.store.set_many(values, evict=evict))
        else:
            self._evicted(self.fresh.set_many(values, evict=evict, cost=seconds))

    def _evicted(self, keys: Sequence[K]) -> None:
        if keys:
            self._counters.evictions += len(keys)
            self._notify(KeysEvicted(keys=tuple(keys)))
