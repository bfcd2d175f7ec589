"""What may hold the event loop in a cache of this library: each work does it once, at a given size."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    FreshnessPolicy,
    HistoryPolicy,
    LoadPolicy,
    WeighedStore,
)
from async_backfill.backfill._history.hot_keys import HotKeys
from async_backfill.contracts import Heats
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from async_backfill.stores._eviction.orders import Eviction
    from benchmarks.stalls.measuring import Watch

_HITS_COUNTED: Final = 3
_PAGE: Final = 2_000
_BATCH: Final = 500
_MOST_WAITERS: Final = 100_000
_TTL: Final = 60.0
_NEVER: Final = 1e6


class Echo:
    """A source that has every key, at once."""

    async def load_many(self, keys: Sequence[int]) -> Mapping[int, int]:
        """Return each key as its own value."""
        return {key: key for key in keys}


class Gated(Echo):
    """The same, once it is open."""

    def __init__(self) -> None:
        self.open = anyio.Event()

    async def load_many(self, keys: Sequence[int]) -> Mapping[int, int]:
        """Return each key as its own value."""
        await self.open.wait()
        return await super().load_many(keys)


class InMemory:
    """A journal that is there at once: what is measured is what the cache makes of it."""

    def __init__(self, size: int) -> None:
        self._heats = Heats({key: 1.0 + key * 7919 % size for key in range(size)}, hit_rate=0.9)

    async def load(self) -> Heats[int]:
        """Return the heats of all keys."""
        return self._heats

    async def save(self, heats: Heats[int], /) -> None:
        """Keep nothing."""


def _cache(size: int, **settings: Any) -> BackfillCache[int, int]:
    return BackfillCache(Echo(), capacity=size, **settings)


async def _fill(cache: BackfillCache[int, int], size: int, hits: int = 0) -> None:
    for start in range(0, size, _PAGE):
        await cache.put_many({key: key for key in range(start, min(start + _PAGE, size))})
    for _ in range(hits):
        for key in range(size):
            await cache.get(key)


async def _expiry(watch: Watch, size: int, *, stale_for: float = 0.0) -> None:
    clock = ManualClock()
    cache = _cache(2 * size, freshness=FreshnessPolicy(ttl=_TTL, stale_for=stale_for), clock=clock)
    async with cache:
        await _fill(cache, size)
        clock.advance(_TTL + stale_for)
        with watch.on():
            for key in range(size, 2 * size):
                await cache.get(key)
                if len(cache) <= key - size + 1:
                    break
                await anyio.lowlevel.checkpoint()


async def _eviction(watch: Watch, size: int, *, eviction: Eviction) -> None:
    async with _cache(size, eviction=eviction) as cache:
        await _fill(cache, size, hits=_HITS_COUNTED)
        await anyio.lowlevel.checkpoint()
        with watch.on():
            for key in range(size, size + 100):
                await cache.get(key)
                await anyio.lowlevel.checkpoint()


async def _weighed(watch: Watch, size: int) -> None:
    store: WeighedStore[int, int] = WeighedStore(size, lambda key, _: size if key < 0 else 1)
    async with BackfillCache(Echo(), store=store) as cache:
        await _fill(cache, size)
        with watch.on():
            await cache.put(-1, -1)


async def _clear(watch: Watch, size: int, **settings: Any) -> None:
    async with _cache(size, **settings) as cache:
        await _fill(cache, size)
        with watch.on():
            await cache.clear()
            await cache.put(1, 1)


async def _invalidate(watch: Watch, size: int, *, eviction: Eviction) -> None:
    async with _cache(size, eviction=eviction) as cache:
        await _fill(cache, size)
        with watch.on():
            for key in range(size):
                if key % 10 < 7:
                    await cache.invalidate(key)
                if key % 10 == 0:
                    await anyio.lowlevel.checkpoint()


async def _put_many(watch: Watch, size: int, *, eviction: Eviction) -> None:
    async with _cache(size, eviction=eviction) as cache:
        await _fill(cache, size)
        items = {key: key for key in range(size, 2 * size)}
        with watch.on():
            await cache.put_many(items)


async def _page(watch: Watch, size: int, *, eviction: Eviction) -> None:
    async with _cache(size, eviction=eviction) as cache:
        await _fill(cache, size, hits=_HITS_COUNTED)
        with watch.on():
            await cache.get_many(range(size, size + _BATCH))


async def _invalidate_many(watch: Watch, size: int) -> None:
    async with _cache(size) as cache:
        await _fill(cache, size)
        keys = list(range(size))
        with watch.on():
            await cache.invalidate_many(keys)


async def _woken(watch: Watch, size: int) -> None:
    gated = Gated()
    async with BackfillCache(gated) as cache, anyio.create_task_group() as tasks:
        for _ in range(min(size, _MOST_WAITERS)):
            tasks.start_soon(cache.get, 0)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        with watch.on():
            gated.open.set()
            for _ in range(10):
                await anyio.lowlevel.checkpoint()


async def _get_many(watch: Watch, size: int, *, cold: bool) -> None:
    async with _cache(2 * size) as cache:
        await _fill(cache, size)
        keys = range(size, 2 * size) if cold else range(size)
        with watch.on():
            await cache.get_many(keys)


async def _hot_keys(watch: Watch, size: int) -> None:
    hot: HotKeys[int] = HotKeys(size, half_life=15.0 * size)
    hot.note(range(size))
    hot.note(range(size))
    await anyio.lowlevel.checkpoint()
    with watch.on():
        for key in range(size, size + 100):
            hot.note([key])
            await anyio.lowlevel.checkpoint()


def _with_history(size: int) -> BackfillCache[int, int]:
    return _cache(
        size,
        backfill=BackfillPolicy(selection="history"),
        backfill_batch=_PAGE,
        load=LoadPolicy(max_batch=_PAGE),
        history=HistoryPolicy(save_every=_NEVER),
        journal=InMemory(size),
    )


async def _heats(watch: Watch, size: int) -> None:
    hot: HotKeys[int] = HotKeys(size, half_life=15.0 * size)
    hot.note(range(size))
    with watch.on():
        hot.heats()


async def _is_ready(watch: Watch, size: int) -> None:
    async with _with_history(size) as cache:
        await cache.ready(0.5)
        with watch.on():
            for _ in range(_BATCH):
                cache.is_ready(0.5)
                await anyio.lowlevel.checkpoint()


async def _opening(watch: Watch, size: int) -> None:
    cache = _with_history(size)
    with watch.on():
        await cache.__aenter__()
    await cache.__aexit__(None, None, None)


async def _ready(watch: Watch, size: int) -> None:
    async with _with_history(size) as cache:
        with watch.on():
            await cache.ready(0.99)


async def _backfill(watch: Watch, size: int) -> None:
    async with _with_history(size) as cache:
        with watch.on():
            await cache.force_backfill()


OURS: Final[Mapping[str, Callable[[Watch, int], Coroutine[Any, Any, None]]]] = {
    "all expire at once, then misses": _expiry,
    "all expire at once after stale_for": partial(_expiry, stale_for=_TTL),
    **{f"misses that evict, all hit: {order}": partial(_eviction, eviction=order) for order in EVICTIONS},
    **{f"a batch of 500 comes, all hit: {order}": partial(_page, eviction=order) for order in EVICTIONS},
    "one as heavy as all evicts them": _weighed,
    **{f"clear: {order}": partial(_clear, eviction=order) for order in EVICTIONS},
    "clear: fifo, ttl": partial(_clear, freshness=FreshnessPolicy(ttl=_TTL)),
    **{f"invalidate 70 %, one by one: {order}": partial(_invalidate, eviction=order) for order in EVICTIONS},
    "invalidate_many of all": _invalidate_many,
    **{
        f"put_many of all into a full cache: {order}": partial(_put_many, eviction=order)
        for order in EVICTIONS
    },
    "get_many of all, cached": partial(_get_many, cold=False),
    "get_many of all, cold": partial(_get_many, cold=True),
    "new hot keys after all were noted twice": _hot_keys,
    "all wait for one load (100,000 at the most)": _woken,
    "heats of all copied for the journal": _heats,
    "opening with a journal of all": _opening,
    "is_ready(), a journal of all": _is_ready,
    "ready(0.99), a journal of all": _ready,
    "first backfill from a journal of all": _backfill,
}
"""The name of each work, and the work."""
