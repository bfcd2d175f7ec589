"""Expiry: a store whose values are fresh for a while, then stale, then removed."""

from __future__ import annotations

import math
import random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent
from async_backfill.stores._ages import Ages, ttl_by
from async_backfill.stores._fresh_reads import make_read
from async_backfill.stores._leaving import LeavingTimes
from async_backfill.stores._usual_jitter import UsualJitter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from async_backfill.contracts import BoundedStore, Clock
    from async_backfill.policies import FreshnessPolicy

A_STEP: Final = 128
_ROUNDED: Final = 1e-6
_NO_LIFETIMES: Final[Mapping[Any, float]] = MappingProxyType({})


class FreshStore(Generic[K, V]):
    """Adds expiry to ``store``: `read` and `peek` find fresh values, `leftover` stale ones as well.

    What has expired for good is removed by `sweep`, which each addition calls, and a task while the cache
    is open: a few values at a time, so that the event loop is not held up when a million expire at once.
    The times are kept beside the store, not around its values, so that a cache without a ttl pays nothing;
    `LeavingTimes` knows the next key to remove, so nothing is searched for. See decision 18 in notes.md.

    :param store: the store of the values.
    :param policy: how long values stay fresh, and what happens after that.
    :param clock: a monotonic clock, in seconds.
    :param expired: called with the keys that are removed because they expired.
    """

    def __init__(
        self,
        store: BoundedStore[K, V],
        policy: FreshnessPolicy,
        *,
        clock: Clock,
        expired: Callable[[Sequence[K]], None] | None = None,
    ) -> None:
        self.inner = store
        self._policy = policy
        self.has_one_ttl = policy.ttl_of is None and not policy.early
        self._ttl = math.inf if policy.ttl is None else policy.ttl
        self._clock = clock
        self._expired = expired
        # Without a seed those of the module, which Python seeds anew in a forked process.
        self._draw = random.random if policy.seed is None else random.Random(policy.seed).random
        self._usual_jitter = UsualJitter(0.0 if policy.jitter is not None else self._draw())
        self._fresh_until: dict[K, float] = {}
        self._retry_at: dict[K, float] = {}
        self._costs: dict[K, float] = {}
        self.ages: Ages[K, V] = Ages(policy, self._fresh_until, store.peek, clock)
        self._leaving: LeavingTimes[K] = LeavingTimes(self._fresh_until, policy.stale_for)
        self._soonest = -math.inf
        self.tell_soonest: Callable[[float], object] | None = None
        """Called with a time before which all that is held is fresh: a hit need not look its own time up."""
        self.read = make_read(
            self._fresh_until, store.read, clock, early=policy.early, costs=self._costs, draw=self._draw
        )

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def capacity(self) -> int | None:
        """The largest number of entries, fresh or stale; ``None`` without a limit."""
        return self.inner.capacity

    @property
    def fresh_until(self) -> Mapping[K, float] | None:
        """When each value expires; ``None`` with early refresh, where only `read` decides what is a hit."""
        return None if self._policy.early else self._fresh_until

    @property
    def removals(self) -> int:
        """How many times entries were removed, for any reason."""
        self.sweep()
        return self.inner.removals

    def peek(self, key: K, default: Absent = ABSENT, /) -> V | Absent:
        """Return the value of ``key`` if it is fresh, else ``default``."""
        is_fresh = self._clock() < self._fresh_until.get(key, -math.inf)
        return self.inner.peek(key, default) if is_fresh else default

    def leftover(self, key: K) -> V | Absent:
        """Return the value of ``key`` if it may still be served, fresh or stale, else `ABSENT`."""
        may_be_served = self._clock() < self._fresh_until.get(key, -math.inf) + self._policy.stale_for
        return self.inner.peek(key, ABSENT) if may_be_served else ABSENT

    def is_fresh(self, key: K) -> bool:
        """Return whether the store holds ``key`` and it has not expired."""
        return self._clock() < self._fresh_until.get(key, -math.inf)

    def has_expired(self, key: K) -> bool:
        """Return whether the store still holds ``key``, but it is no longer fresh."""
        return key in self._fresh_until and not self.is_fresh(key)

    def expires_in(self, key: K) -> float:
        """Return the seconds for which ``key`` stays fresh, negative once it is stale."""
        return self._fresh_until.get(key, -math.inf) - self._clock()

    def may_refresh(self, key: K) -> bool:
        """Return whether ``key`` may be refreshed: no refresh failed in the last ``retry_after`` seconds."""
        return self._clock() >= self._retry_at.get(key, -math.inf)

    def refresh_failed(self, keys: Iterable[K]) -> None:
        """Record that loading ``keys`` failed, so that those still served are not refreshed for a while."""
        retry_at = self._clock() + self._policy.retry_after
        self._retry_at.update((key, retry_at) for key in keys if key in self._fresh_until)

    def sweep(self, least: int = A_STEP) -> float | None:
        """Remove some of the values that may no longer be served.

        Returns the seconds until more can be removed, 0.0 if that is now; ``None`` when nothing is held.

        :param least: how many it removes at the most, but never less than ``A_STEP``.
        """
        gone = self._leaving.due(self._clock(), max(least, A_STEP))
        if gone:
            self.delete_many(gone)
            if self._expired is not None:
                self._expired(gone)
        elif not self._fresh_until:
            # A dict gives its memory back only when it is cleared. The store's own has been: a step each.
            self._fresh_until.clear()
        until, soonest = self._leaving.next(), math.inf
        if until is not None:  # what a sum and a difference round is never late
            soonest = until - self._policy.stale_for - max(_ROUNDED, math.ulp(until))
        # A store that held values before has some without a time.
        self._use_soonest(soonest if len(self.inner) == len(self._fresh_until) else -math.inf)
        return None if until is None else max(0.0, until - self._clock())

    def set_many(
        self,
        items: Mapping[K, V],
        /,
        *,
        evict: bool = True,
        cost: float = 0.0,
        lifetimes: Mapping[K, float] = _NO_LIFETIMES,
        ttl: float | None = None,
        since: float | None = None,
        put: Callable[[Mapping[K, V]], Sequence[K]] | None = None,
        with_others: bool = False,
    ) -> Sequence[K]:
        """Add or replace ``items`` in their order; return the keys evicted for them.

        :param cost: how many seconds their load took, for ``FreshnessPolicy.early``.
        :param lifetimes: the most seconds that some of ``items`` may be fresh: copies from the far tier. What
            is not above 0.0 is stale already.
        :param ttl: seconds for which they stay fresh, in place of what the policy says.
        :param since: when the load of those that are not from the far tier began, from which they are fresh;
            ``None`` is now.
        :param put: puts the items into the store, in place of its ``set_many``.
        :param with_others: whether more come together with them, in other calls; else this is so of several.
        """
        # First, so that nothing has changed when it fails.
        ttls = _NO_LIFETIMES
        if ttl is None and self._policy.ttl_of is not None:
            ttls = {key: ttl_by(self._policy, key, value) for key, value in items.items()}
        usual = self._ttl if ttl is None else ttl
        self.sweep(len(items))
        evicted = self.inner.set_many(items, evict=evict) if put is None else put(items)
        self._forget(evicted)
        now = self._clock()
        begun = now if since is None else since
        is_shared = self._policy.jitter is None and (with_others or len(items) > 1) and not ttls
        together: dict[float, float] | None = {} if is_shared else None
        for key in items:
            # One that did not fit, or was evicted by a later one of the same items, has no times any more.
            if self.inner.peek(key, ABSENT) is not ABSENT:
                most = lifetimes.get(key, math.inf)
                since = begun if most == math.inf else now
                self._date(key, since, min(ttls.get(key, usual), most), cost, together)
            else:
                self._forget((key,))
        if ttl is not None:
            self.ages.put(items, ttl)
        return evicted

    def set_one(self, key: K, value: V, since: float | None, put: Callable[[K, V], K | Absent]) -> K | Absent:
        """Do what `set_many` does, for one key that has room, by ``put``; where all have the policy's ttl."""
        now = self._clock()
        if now >= self._soonest or not self._fresh_until:
            self.sweep()
        if (evicted := put(key, value)) is not ABSENT:
            self._forget((evicted,))
        self._date(key, now if since is None else since, self._ttl, 0.0, None)
        return evicted

    def delete_many(self, keys: Iterable[K], /) -> None:
        """Remove ``keys``; keys that the store does not hold are ignored."""
        gone = tuple(keys)
        self.inner.delete_many(gone)
        self._forget(gone)

    def clear(self) -> None:
        """Remove everything."""
        self.inner.clear()
        self._fresh_until.clear()
        self._retry_at.clear()
        self._costs.clear()
        self.ages.own.clear()
        self._leaving.clear()

    def free_room(self) -> int | None:
        """Return how many keys can be added before one is evicted; ``None`` without a limit."""
        self.sweep()
        return self.inner.free_room()

    def evict_oldest(self) -> K:
        """Remove and return the key that is next in the eviction order; `LookupError` when empty."""
        key = self.inner.evict_oldest()
        self._forget((key,))
        return key

    def _date(self, key: K, now: float, ttl: float, cost: float, together: dict[float, float] | None) -> None:
        if 0.0 < ttl < math.inf:
            if self._policy.jitter:
                ttl -= ttl * self._policy.jitter * self._draw()
            elif together is not None:
                ttl = self._usual_jitter.cut(ttl)
        until = now + ttl
        self._fresh_until[key] = until if together is None else together.setdefault(until, until)
        if until < self._soonest:
            self._use_soonest(until)
        if ttl > 0.0:
            self._retry_at.pop(key, None)
        else:  # a stale copy, which is only taken when the load has failed
            self._retry_at[key] = now + self._policy.retry_after
        if self._policy.early:
            self._costs[key] = cost
        self._leaving.add(key, until + self._policy.stale_for, len(self._fresh_until))

    def _use_soonest(self, soonest: float) -> None:
        if soonest != self._soonest:
            self._soonest = soonest
            if self.tell_soonest is not None:
                self.tell_soonest(soonest)

    def _forget(self, keys: Iterable[K]) -> None:
        for key in keys:
            self._fresh_until.pop(key, None)
            self._retry_at.pop(key, None)
            self._costs.pop(key, None)
        if self.ages.own:
            self.ages.forget(keys)
