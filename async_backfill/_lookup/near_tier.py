"""The near tier (L1): the values of a cache, fresh or stale, and the keys known to be absent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Generic

from async_backfill._common.first_failure import raise_first
from async_backfill._lookup.leaving import Leaving
from async_backfill._lookup.unkept import Unkept, one_by_one
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent, Failed, LoadCause, MissCause
from async_backfill.stores._absence import AbsentKeys
from async_backfill.stores._fresh import FreshStore
from async_backfill.stores._reading import Entries, Reading
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._lookup.counters import Counters
    from async_backfill.backfill._receipts.usefulness import Usefulness
    from async_backfill.contracts import BoundedStore, Clock
    from async_backfill.events import Event
    from async_backfill.policies import BackfillPolicy, FreshnessPolicy
    from async_backfill.stores._probation import ProbationStore

    Put = Callable[[Mapping[K, V]], Sequence[K]]


class NearTier(Generic[K, V]):
    """The store of a cache, and what is kept beside it; it outlives an opening.

    ``entries``, ``fresh_until``
        where a hit looks a key up, and when its value expires; the latter is ``None`` where no value does.
    ``touch``, ``hit_counts``
        what a hit calls, or where it counts itself, for the eviction order; ``None`` without need.
    ``fresh``, ``absent``
        expiry and remembered absence; ``None`` where nothing expires and no absence is remembered.
    ``is_off``
        whether nothing is kept for now; who sets it clears the tier.
    ``is_plain``
        whether a value is all that is kept of a load.

    :param backfill: how backfilled values are kept.
    :param usefulness: accounts of which backfilled keys are read, and of how keys left.
    :param probation: ``store`` with a segment for unread keys; ``None`` keeps them like any other.
    :param notify: calls the observers; ``None`` without observers.
    :param cache: its name, for the log.
    """

    # The parts of the store stand here themselves: a call in between would cost a hit as much as its
    # lookup (decision 30 in notes.md).

    def __init__(  # noqa: PLR0913 - each is a part of its own; the cache puts them together once
        self,
        store: BoundedStore[K, V],
        policy: FreshnessPolicy,
        *,
        backfill: BackfillPolicy,
        usefulness: Usefulness[K] | None,
        probation: ProbationStore[K, V] | None,
        counters: Counters,
        notify: Callable[[Event], None] | None,
        clock: Clock,
        cache: str | None,
    ) -> None:
        self._usefulness = usefulness
        self._leaving: Leaving[K] = Leaving(counters, usefulness, notify)
        self._probation = probation
        plain = store if isinstance(store, MemoryStore) else None
        if probation is not None:
            store = probation
        self.fresh: FreshStore[K, V] | None = None
        if policy.ttl is not None or policy.ttl_of is not None:
            self.fresh = FreshStore(store, policy, clock=clock, expired=self._leaving.expired)
        self.absent: AbsentKeys[K] | None = None
        if policy.absent_ttl is not None and store.capacity != 0:
            most = policy.absent_capacity
            self.absent = AbsentKeys(ttl=policy.absent_ttl, capacity=most, clock=clock, cache=cache)
        self._use: Callable[[K, Absent], V | Absent] = store.read
        self.store: BoundedStore[K, V] = store if self.fresh is None else self.fresh
        self.entries: Entries[K, V]
        self.touch: Callable[[K], object] | None = None
        self.hit_counts: dict[K, int] | None = None
        self.fresh_until = None if self.fresh is None else self.fresh.fresh_until
        if plain is None or (self.fresh is not None and self.fresh_until is None):
            self.entries = Reading(self.store.read)
        else:
            self.entries, self.touch, self.hit_counts = plain.entries, plain.touch, plain.hit_counts
        self.read: Callable[[K, Absent], V | Absent] = self.store.read
        self.peek: Callable[[K, Absent], V | Absent] = self.store.peek
        if plain is not None and self.fresh is None and probation is None:
            self.peek = plain.entries.get
        self._backfill = backfill
        self.is_plain = self.fresh is None and self.absent is None and usefulness is None
        self._counters = counters
        self._unkept = Unkept(counters, clock, cache)
        self.is_off = False

    @property
    def has_unread_keys(self) -> bool:
        """Whether backfilled keys are on probation until they are read; a miss must then call `promote`."""
        return self._probation is not None

    def knows(self, key: K) -> bool:
        """Return whether ``key`` has a fresh value or is known to be absent."""
        return self.store.peek(key, ABSENT) is not ABSENT or (self.absent is not None and key in self.absent)

    def is_unread(self, key: K) -> bool:
        """Return whether ``key`` was loaded by a backfill, and nobody has read it yet."""
        return self._probation is not None and self._probation.is_unread(key)

    def promote(self, key: K) -> V | Absent:
        """Return the value of ``key`` if a backfill loaded it and nobody has read it yet, else `ABSENT`."""
        if self._probation is None or self.store.peek(key, ABSENT) is ABSENT:
            return ABSENT
        return self._probation.promote(key)

    def leftover(self, key: K) -> V | Absent:
        """Return the value of ``key`` if it may still be served, fresh or stale, else `ABSENT`.

        It counts as used, and as read, like any other hit.
        """
        value = ABSENT if self.fresh is None else self.fresh.leftover(key)
        if value is ABSENT:
            return ABSENT
        if self._probation is None or self._probation.promote(key) is ABSENT:
            self._use(key, ABSENT)
        return value

    def miss_cause(self, key: K) -> MissCause:
        """Return the cause of a miss of ``key``, as far as it is known before the load."""
        if self.fresh is not None and self.fresh.has_expired(key):
            return MissCause.EXPIRED
        return MissCause.COLD if self._usefulness is None else self._usefulness.departures.cause(key)

    def put_many(self, items: Mapping[K, V], ttl: float | None = None) -> None:
        """Hold ``items``; one that cannot be held costs itself only: its old value goes.

        :param ttl: seconds for which they stay fresh, in place of what the policy says.
        :raises Exception: what the store raised for the first of them, once the others are held.
        """
        if self.absent is not None:
            self.absent.discard(items)
        failures: dict[K, Exception] = {}
        try:
            self._hold(items, ttl)
        except Exception:  # noqa: BLE001 - which of them it was shows when each is tried alone
            failures = one_by_one(lambda key: self._hold({key: items[key]}, ttl), items, self.store)
        if failures:
            raise_first(failures)

    def _hold(self, items: Mapping[K, V], ttl: float | None) -> None:
        if self.fresh is None:
            self._evicted(self.store.set_many(items))
        else:
            self._evicted(self.fresh.set_many(items, ttl=ttl))

    def delete_many(self, keys: Collection[K]) -> None:
        """Forget ``keys``, values and absence."""
        if self.absent is not None:
            self.absent.discard(keys)
        self.store.delete_many(keys)
        self._leaving.departed(keys, MissCause.INVALIDATED)

    def clear(self) -> None:
        """Forget everything."""
        if self.absent is not None:
            self.absent.clear()
        self.store.clear()
        if self._usefulness is not None:
            self._usefulness.flushed()

    def evict_oldest(self) -> K:
        """Remove and return the key that the eviction order names next; `LookupError` when empty."""
        key = self.store.evict_oldest()
        self._evicted((key,))
        return key

    def keep(self, batch: Batch[K, V], keys: Sequence[K]) -> None:
        """Keep the outcomes of ``keys`` from ``batch``, which has just landed.

        It never raises: the callers have their values, and a value that is not kept is a later miss.
        """
        if self.is_off:
            return
        if batch.error is not None:
            if self.fresh is not None:
                self.fresh.refresh_failed(keys)
            return
        try:
            values = batch.values(keys)
            plain = self.is_plain and batch.cause is not LoadCause.BACKFILL and not batch.along
            if plain and len(values) == len(keys):
                self._evicted(self.store.set_many(values))
            else:
                self._keep_outcomes(batch, keys)
        except Exception:  # noqa: BLE001 - which of them it was shows when each is tried alone
            failures = one_by_one(lambda key: self._keep_outcomes(batch, (key,)), keys, self.store)
            for key, failure in failures.items():
                self._unkept.note(key, failure)

    def _keep_outcomes(self, batch: Batch[K, V], keys: Sequence[K]) -> None:
        values = batch.values(keys)
        if len(values) < len(keys):
            outcomes = {key: batch.outcome(key) for key in keys if key not in values}
            absent = [key for key, outcome in outcomes.items() if outcome is ABSENT]
            if self.fresh is not None:
                self.fresh.refresh_failed(
                    [key for key, outcome in outcomes.items() if isinstance(outcome, Failed)]
                )
            self.store.delete_many(absent)
            if self.absent is not None:
                self._counters.unremembered += self.absent.add(absent, batch.since)
            self._leaving.departed(absent, MissCause.ABSENT)
        if self.absent is not None:
            self.absent.discard(values)
        backfill = batch.cause is LoadCause.BACKFILL
        if not (backfill or batch.along) or (self._usefulness is None and self._backfill.evicts):
            self._set(values, batch, evict=True)
            return
        # A key that a live caller came to wait for is no longer the backfill's alone.
        live = batch.wanted if backfill else values.keys() - batch.along
        self._set({key: value for key, value in values.items() if key in live}, batch, evict=True)
        if self._usefulness is not None:
            for key in batch.wanted & values.keys():
                self._usefulness.resolved(key, True)
        self._set_backfilled({key: value for key, value in values.items() if key not in live}, batch)

    def _set(
        self, values: Mapping[K, V], batch: Batch[K, V], *, evict: bool, put: Put[K, V] | None = None
    ) -> None:
        if self.fresh is None:
            self._evicted(self.store.set_many(values, evict=evict) if put is None else put(values))
            return
        cost, copies, is_bulk = batch.seconds, batch.copies, batch.cause is LoadCause.BACKFILL
        evicted = self.fresh.set_many(
            values, evict=evict, cost=cost, lifetimes=copies, since=batch.since, put=put, with_others=is_bulk
        )
        self._evicted(evicted)

    def _set_backfilled(self, values: dict[K, V], batch: Batch[K, V]) -> None:
        """Keep values that no caller asked for; those that came along with a miss may evict."""
        along = batch.cause is not LoadCause.BACKFILL
        evict = along or self._backfill.evicts
        if self._probation is None:
            self._set(values, batch, evict=evict)
            return
        first_out = not along and self._backfill.selection == "history"
        if along:  # the nearest is read soonest, and must leave last
            values = dict(reversed(values.items()))
        put = partial(self._probation.set_unread, evict=evict, first_out=first_out)
        self._set(values, batch, evict=evict, put=put)

    def _evicted(self, keys: Sequence[K]) -> None:
        if keys:
            self._leaving.evicted(keys)
