"""What a cache tells its observers besides its loads: one event for each fact, with the name of the cache."""

from __future__ import annotations

import dataclasses

import pytest
from anyio import current_time, sleep

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    BudgetState,
    CircuitPolicy,
    CircuitState,
    FarTier,
    FreshnessPolicy,
    LoadPolicy,
    MappingSource,
    ReadinessPolicy,
    ReadinessState,
    SimulatedSource,
    Status,
)
from async_backfill import events as public
from async_backfill.contracts import Heats
from async_backfill.events import (
    BackfillAudited,
    BudgetChanged,
    CacheEvent,
    CircuitChanged,
    FarStoreFailed,
    KeysExpired,
    KeysInvalidated,
    KeysPut,
    ReadinessChanged,
)
from async_backfill.testing import MemoryFarStore, MemoryPermits
from tests.callers import outcomes

pytestmark = pytest.mark.anyio

ROWS = {number: number for number in range(100)}
AT_EVERY_MISS = {"miss_threshold": 0.01, "backfill": BackfillPolicy(inline=True, min_lookups=1)}


class Told(list):
    """The events of a cache."""

    def of(self, kind):
        return [event for event in self if isinstance(event, kind)]


def cache_of(told, source=None, **settings):
    defaults = {"name": "products", "clock": current_time, "observers": [told.append]}
    return BackfillCache(MappingSource(ROWS) if source is None else source, **(defaults | settings))


class Down(MappingSource):
    """A source that fails while ``is_down``."""

    def __init__(self):
        super().__init__(ROWS)
        self.is_down = True

    async def load_many(self, keys):
        if self.is_down:
            raise ConnectionError("down")
        return await super().load_many(keys)


class Shelf:
    """A journal of ten hot keys."""

    async def load(self):
        return Heats(keys={key: 1000.0 - key for key in range(10)}, hit_rate=0.9)

    async def save(self, heats):
        pass


def far_of(store):
    return FarTier(store=store, invalidations=store.invalidations)


def warming_of(told, source=None, **settings):
    return cache_of(
        told,
        source,
        **{"journal": Shelf(), "capacity": 10, "backfill": BackfillPolicy(selection="history")} | settings,
    )


def test_every_event_has_the_name_of_its_cache_and_no_value():
    kinds = [getattr(public, name) for name in public.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type) and kind is not CacheEvent]

    assert len(kinds) == 13
    for kind in kinds:
        names = [field.name for field in dataclasses.fields(kind)]
        assert issubclass(kind, CacheEvent)
        assert names[0] == "cache"
        assert not {"value", "values"} & set(names)


async def test_every_event_of_a_busy_cache_says_which_cache_it_is_of():
    told = Told()
    settings = {"capacity": 10, "freshness": FreshnessPolicy(ttl=5.0), "max_backfills": 1}
    scan = MappingSource(ROWS)
    async with cache_of(told, scan=scan, journal=Shelf(), **settings) as cache:
        await cache.get_many(range(12))
        await cache.put(50, 50)
        await cache.invalidate(50)
        await cache.force_backfill()
        await sleep(20.0)
        await cache.clear()

    assert {event.cache for event in told} == {"products"}
    assert {type(event).__name__ for event in told} >= {
        "LoadFinished", "KeysPut", "KeysEvicted", "KeysExpired", "KeysInvalidated", "BackfillAudited",
        "JournalRead",
    }  # fmt: skip


async def test_the_events_of_a_cache_without_a_name_have_none():
    told = Told()
    async with cache_of(told, name=None) as cache:
        await cache.get(1)

    assert [event.cache for event in told] == [None]


async def test_two_caches_with_one_observer_are_told_apart():
    told = Told()
    async with cache_of(told, name="a") as first, cache_of(told, name="b") as second:
        await first.get(1)
        await second.get(1)

    assert [event.cache for event in told] == ["a", "b"]


# keys


async def test_an_observer_is_told_which_keys_were_put_and_invalidated():
    told = Told()
    async with cache_of(told) as cache:
        await cache.put_many({1: "one", 2: "two"})
        await cache.invalidate(1)
        await cache.invalidate_many([2, 3])
        await cache.clear()

    assert told == [
        KeysPut(cache="products", keys=(1, 2)),
        KeysInvalidated(cache="products", keys=(1,)),
        KeysInvalidated(cache="products", keys=(2, 3)),
        KeysInvalidated(cache="products", keys=None),
    ]


async def test_an_observer_is_told_of_every_group_of_many_keys():
    told = Told()
    async with cache_of(told) as cache:
        await cache.put_many(dict.fromkeys(range(2500), 0))
        await cache.invalidate_many(range(2500))

    for kind in (KeysPut, KeysInvalidated):
        events = told.of(kind)
        assert len(events) == 3
        assert [key for event in events for key in event.keys] == list(range(2500))


async def test_an_observer_finds_what_was_put_and_not_what_was_invalidated():
    seen = []

    def look(event):
        seen.append((type(event), cache.peek(1)))

    async with BackfillCache(MappingSource(ROWS), observers=[look]) as cache:
        await cache.put(1, "one")
        await cache.invalidate(1)

    assert seen == [(KeysPut, "one"), (KeysInvalidated, None)]


async def test_an_observer_is_told_which_keys_expired():
    told = Told()
    async with cache_of(told, freshness=FreshnessPolicy(ttl=5.0, stale_for=10.0)) as cache:
        await cache.put_many({1: 1, 2: 2})
        await sleep(7.0)
        assert told.of(KeysExpired) == []
        await sleep(20.0)

    assert sorted(key for event in told.of(KeysExpired) for key in event.keys) == [1, 2]


async def test_an_observer_is_told_what_another_process_changed():
    told, here = Told(), MemoryFarStore()
    there = here.peer()
    async with cache_of(told, far=far_of(here)) as cache, cache_of([], far=far_of(there)) as other:
        await sleep(1.0)
        await cache.get(1)
        told.clear()
        await other.put(1, 10)
        await sleep(1.0)
        assert told == [KeysInvalidated(cache="products", keys=(1,), elsewhere=True)]

        await cache.get(1)
        await other.clear()
        await sleep(1.0)
        assert told[1:] == [KeysInvalidated(cache="products", keys=None, elsewhere=True)]


# backfills, and what holds them up


async def test_an_observer_is_told_how_long_a_backfill_took():
    told = Told()
    source = SimulatedSource(ROWS, latency=2.5)
    async with cache_of(told, source, scan=source) as cache:
        await cache.force_backfill()

    assert [(event.record.status, event.seconds) for event in told.of(BackfillAudited)] == [
        (Status.STARTED, None),
        (Status.COMPLETED, 2.5),
    ]


async def test_an_observer_is_told_why_a_backfill_was_denied_or_skipped():
    told = Told()
    async with cache_of(told, scan=MappingSource(ROWS), max_backfills=0, **AT_EVERY_MISS) as cache:
        await cache.get("x")
    async with cache_of(told, scan=MappingSource({}), **AT_EVERY_MISS) as cache:
        await cache.get("x")

    assert [event.record.status for event in told.of(BackfillAudited)] == [Status.DENIED, Status.SKIPPED]


async def test_an_observer_is_told_of_every_change_of_the_budget():
    told = Told()
    async with cache_of(told, scan=MappingSource(ROWS), max_backfills=1, **AT_EVERY_MISS) as cache:
        await cache.get("x")
        await cache.get("y")
        await cache.approve_backfills(2, by="ada", reason="after the deploy")

    assert told.of(BudgetChanged) == [
        BudgetChanged(cache="products", state=BudgetState.NEEDS_APPROVAL, permits_left=0),
        BudgetChanged(cache="products", state=BudgetState.OPEN, permits_left=2),
    ]


async def test_an_observer_is_told_what_a_fleet_has_left_and_when_that_is_not_known():
    class Permits(MemoryPermits):
        is_down = False

        async def left(self):
            if self.is_down:
                raise ConnectionError("down")
            return await super().left()

    told, permits = Told(), Permits(2)
    async with cache_of(told, permits=permits, scan=MappingSource(ROWS)):
        await permits.acquire()
        await sleep(6.0)
        permits.is_down = True
        await sleep(12.0)

    assert [(event.permits_left, event.is_known) for event in told.of(BudgetChanged)] == [
        (2, True),
        (1, True),
        (0, False),
    ]


async def test_an_observer_is_told_of_every_state_of_the_circuit():
    told, source = Told(), Down()
    load = LoadPolicy(circuit=CircuitPolicy(failures=2, open_for=10.0))
    async with cache_of(told, source, load=load) as cache:
        for _ in range(3):
            await outcomes(cache.get, (1,))
        await sleep(10.0)
        await outcomes(cache.get, (1,))
        source.is_down = False
        await sleep(10.0)
        await cache.get(5)

    states = [(event.before, event.state.value, event.failures) for event in told.of(CircuitChanged)]
    assert states == [
        ("source", "open", 2),
        ("source", "half_open", 2),
        ("source", "open", 3),
        ("source", "half_open", 3),
        ("source", "closed", 0),
    ]


async def test_an_observer_is_told_of_the_far_tiers_failures_and_circuit():
    told, store = Told(), MemoryFarStore()
    store.link.fail()
    circuit = CircuitPolicy(failures=2, open_for=10.0)
    async with cache_of(told, far=FarTier(store=store, circuit=circuit)) as cache:
        for key in range(4):
            await cache.get(key)

    assert str(told.of(FarStoreFailed)[0].error) == (
        "get: ConnectionError: the network link fails on purpose"
    )
    assert [(event.before, event.state) for event in told.of(CircuitChanged)] == [
        ("far tier", CircuitState.OPEN)
    ]


async def test_an_observer_is_told_that_a_cache_warms_and_is_ready_once_each():
    told = Told()
    async with warming_of(told) as cache:
        await sleep(1.0)
        assert told.of(ReadinessChanged) == []
        for _ in range(3):
            await cache.ready()
        await cache.get_many(range(20))

    assert [(event.state, event.coverage) for event in told.of(ReadinessChanged)] == [
        ("warming", 0.0),
        ("ready", 1.0),
    ]


async def test_an_observer_is_told_that_a_cache_gave_up_and_why():
    told = Told()
    async with warming_of(told, Down(), max_backfills=0) as cache:
        await cache.ready()

    last = told.of(ReadinessChanged)[-1]
    assert (last.state, last.coverage) == (ReadinessState.GAVE_UP, 0.0)
    assert last.reason.startswith("no permit is left")


async def test_a_cache_that_is_emptied_warms_anew_and_says_so():
    told = Told()
    async with warming_of(told, readiness=ReadinessPolicy(warm_on_open=True)) as cache:
        await cache.ready()
        await cache.clear()
        await cache.ready()

    assert [event.state for event in told.of(ReadinessChanged)] == ["warming", "ready"] * 2


async def test_a_cache_that_knows_nothing_hot_is_ready_at_once():
    told = Told()
    async with warming_of(told, journal=None) as cache:
        await cache.ready()

    assert [event.state for event in told.of(ReadinessChanged)] == ["ready"]
