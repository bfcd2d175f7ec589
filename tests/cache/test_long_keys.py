"""Clients make up long keys: what is remembered of keys that are not held is bounded in bytes."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import BackfillCache, BackfillPolicy, CircuitPolicy, FarTier, FreshnessPolicy
from async_backfill._common.key_size import LONGEST, is_long, size_of
from async_backfill._common.log_lines import CacheLog
from async_backfill._far.change_calls import ChangeCalls
from async_backfill._far.distrusted import Distrusted
from async_backfill._far.failed_clear import FailedClear
from async_backfill._far.guarded_calls import GuardedCalls
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.testing import ManualClock, MemoryFarStore

pytestmark = pytest.mark.anyio

CAPACITY = 20
COUNT = 400


class Key(str):
    """Text that can be referred to weakly."""

    __slots__ = ("__weakref__",)


class EveryOther:
    """Has each other key, and fails each tenth load."""

    def __init__(self):
        self.calls = 0

    async def load_many(self, keys):
        self.calls += 1
        if self.calls % 10 == 0:
            raise OSError("down")
        return dict.fromkeys(keys, 1) if self.calls % 2 else {}

    async def scan(self, _cursor, _limit):
        raise OSError("down")


async def all_held(length: int, eviction: str) -> int:
    """Return how many of 400 keys of this length a cache for 20 holds on to after it was asked for them."""
    source, held = EveryOther(), weakref.WeakSet()
    async with BackfillCache(
        source,
        scan=source,
        capacity=CAPACITY,
        eviction=eviction,
        backfill=BackfillPolicy(successors=3, selection="history", min_lookups=1),
        freshness=FreshnessPolicy(absent_ttl=60.0, absent_capacity=10_000),
    ) as cache:
        for number in range(COUNT):
            key = Key(f"{number:0{length}}")
            held.add(key)
            await cache.try_many([key])
            del key
        await cache.settle()
        gc.collect()
        return len(held)


@pytest.mark.parametrize("eviction", EVICTIONS)
async def test_long_keys_that_are_not_cached_are_not_held(eviction):
    assert await all_held(LONGEST + 1, eviction) <= CAPACITY + 5


async def test_short_ones_are_remembered_as_before():
    assert await all_held(LONGEST, "s3-fifo") > COUNT // 2


async def test_that_a_long_key_does_not_exist_is_not_remembered_but_counted_and_said(caplog):
    class Nothing:
        calls = 0

        async def load_many(self, _):
            self.calls += 1
            return {}

    source = Nothing()
    freshness = FreshnessPolicy(absent_ttl=60.0)
    with caplog.at_level(logging.WARNING):
        async with BackfillCache(source, freshness=freshness, clock=ManualClock()) as cache:
            for _ in range(3):
                assert await cache.get("k" * (LONGEST + 1)) is None
                assert await cache.get("k" * LONGEST) is None
            assert (source.calls, cache.stats.unremembered, cache.stats.absent) == (4, 3, 6)
    (said,) = caplog.messages
    assert said.startswith("a key of more than 4096 bytes does not exist, and that is not remembered")


short = st.text(max_size=20) | st.binary(max_size=20) | st.integers() | st.none() | st.floats()
nested = st.recursive(short, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=20)


@given(nested)
def test_a_key_of_a_few_short_parts_is_not_long(key):
    assert not is_long(key)


@given(nested, st.sampled_from(["k" * (LONGEST + 1), b"k" * (LONGEST + 1), 1 << (9 * LONGEST)]))
def test_a_key_with_a_long_part_is_long_wherever_that_is(key, part):
    assert is_long(part)
    assert is_long((key, (part, key)))
    assert is_long((frozenset({part}),))


def test_a_key_of_very_many_parts_is_long_and_not_counted_through():
    assert is_long(tuple(range(1000)))
    assert size_of((("k" * LONGEST,) * 500,) * 500) < 3 * LONGEST


async def test_long_keys_count_as_several_among_those_that_are_distrusted():
    calls = GuardedCalls(
        timeout=1.0, circuit=CircuitPolicy(), clock=float, notify=print, circuit_changed=lambda *_: None
    )
    changes = ChangeCalls(FarTier(store=MemoryFarStore()), calls, ttl=None, releases=None, now=float)
    log = CacheLog(logging.getLogger("async_backfill.far"), None)
    distrusted = Distrusted(10, FailedClear(changes, calls, spawn=print, log=log))
    for number in range(5):
        distrusted.add(f"{number}" * 4 * LONGEST)
    assert len(distrusted) == 2
    distrusted.add("9" * 100 * LONGEST)
    assert len(distrusted) == 1
    for number in range(20):
        distrusted.add(str(number))
    assert len(distrusted) == 10
    assert await distrusted.clear() is None
    assert len(distrusted) == 0
    for number in range(20):
        distrusted.add(str(number))
        distrusted.discard(str(number - 5))
    assert len(distrusted) == 5
