"""Keep the one value that a lone load has found: what `NearTier.keep` does, by the shortest way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill._loading.lone_load import KeepOne
from async_backfill._lookup.near_tier import NearTier
from async_backfill.outcomes import ABSENT, Absent, LoadCause
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._loading.batch import Batch
    from async_backfill._lookup.counters import Counters
    from async_backfill.contracts import K, V
    from async_backfill.stores._fresh import FreshStore


def make_keep_one(near: NearTier[K, V], counters: Counters) -> KeepOne[K, V]:
    """Return what keeps a value in ``near`` and counts its load; where nobody hears of loads."""
    keys, miss = counters.keys, LoadCause.MISS
    fresh = near.fresh
    store: object = near.store if fresh is None else fresh.inner

    def keep(batch: Batch[K, V], key: K, _: V) -> None:
        counters.source_calls += 1
        keys[miss] += 1
        near.keep(batch, (key,))

    # A store of another class may do more when it takes a value, such as weigh it, and a tier may note it.
    is_bare = near.absent is None and not near.has_unread_keys and type(near) is NearTier
    if not is_bare or type(store) is not MemoryStore:
        return KeepOne(keep=keep, sees_batch=True)
    set_one = store.set_one
    if fresh is not None:
        is_dated = fresh.has_one_ttl and store.capacity != 0
        return KeepOne(keep=_dated(near, fresh, set_one, counters) if is_dated else keep, sees_batch=True)

    def keep_plain(batch: Batch[K, V], key: K, value: V) -> None:
        counters.source_calls += 1
        keys[miss] += 1
        try:
            if set_one(key, value) is not ABSENT:
                counters.evictions += 1
        except Exception:  # noqa: BLE001 - it is tried once more, and what could not be kept is told
            batch.land({key: value}, None)
            near.keep(batch, (key,))

    return KeepOne(keep=keep_plain, sees_batch=False)


def _dated(
    near: NearTier[K, V], fresh: FreshStore[K, V], put: Callable[[K, V], K | Absent], counters: Counters
) -> Callable[[Batch[K, V], K, V], None]:
    keys, miss, set_one = counters.keys, LoadCause.MISS, fresh.set_one

    def keep_dated(batch: Batch[K, V], key: K, value: V) -> None:
        counters.source_calls += 1
        keys[miss] += 1
        try:
            if set_one(key, value, batch.since, put) is not ABSENT:
                counters.evictions += 1
        except Exception:  # noqa: BLE001 - as above
            near.keep(batch, (key,))

    return keep_dated
