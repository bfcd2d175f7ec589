"""A recovery begins by itself, and a journal that nobody needs costs little."""

from __future__ import annotations

import random

import pytest
from anyio import current_time

from async_backfill import (
    BackfillCache,
    BackfillCause,
    BackfillPolicy,
    HistoryPolicy,
    MappingSource,
    MemoryStore,
    ReadinessState,
    Status,
    WeighedStore,
    each,
)
from async_backfill.contracts import Heats
from async_backfill.records import Provenance

pytestmark = pytest.mark.anyio

MANY = 4000
ROWS = {**{f"old:{n}": 1 for n in range(MANY)}, **{f"new:{n}": 1 for n in range(MANY)}}
WEIGHTS = [1 / (rank + 1) ** 0.95 for rank in range(MANY)]
DRAWN = random.Random(1).choices(range(MANY), WEIGHTS, k=3000)
RECENT = Provenance(time=1000.0, host="web-1")


class Shelf:
    """A journal in memory."""

    def __init__(self, kind="old", provenance=None, pace=None):
        keys = {f"{kind}:{n}": float(MANY - n) for n in range(MANY)}
        self.heats = Heats(keys, 0.7, provenance, pace)

    async def load(self):
        return self.heats

    async def save(self, heats, /):
        pass


def cache_of(shelf, **settings):
    settings = {"capacity": 3000, "backfill": BackfillPolicy(selection="history", inline=True), **settings}
    return BackfillCache(MappingSource(ROWS), journal=shelf, wall_clock=lambda: 1060.0, **settings)


async def test_a_recovery_begins_with_the_first_miss_whatever_the_threshold():
    async with cache_of(Shelf("new"), miss_threshold=1.0) as cache:
        await cache.get("new:0")
        for number in DRAWN[:300]:
            await cache.get(f"new:{number}")

        assert cache.stats.size == 3000
        assert {record.cause for record in cache.audit_log if record.status is Status.STARTED} == {
            BackfillCause.RECOVERY
        }


async def test_it_begins_at_once_also_where_a_full_cache_had_no_room_for_backfills():
    async with cache_of(Shelf("new"), capacity=20, history=HistoryPolicy(size=20)) as cache:
        for number in range(200):
            await cache.get(f"new:{number}")
        assert cache.stats.backfills_skipped
        await cache.clear()
        before = cache.stats.backfills
        await cache.get("old:1")

        assert cache.stats.backfills == before + 1


async def test_each_of_its_batches_needs_a_permit_and_a_person_can_allow_more():
    async with cache_of(Shelf("new"), max_backfills=1) as cache:
        for number in DRAWN[:20]:
            await cache.get(f"new:{number}")
        assert (cache.stats.backfills, cache.stats.permits_left) == (1, 0)
        denied = cache.stats.backfills_denied
        await cache.approve_backfills(2, by="ada", reason="the journal is right")
        for number in DRAWN[20:100]:
            await cache.get(f"new:{number}")

        assert denied >= 1
        assert (cache.stats.backfills, cache.stats.permits_left) == (3, 0)


@pytest.mark.parametrize("inline", [True, False])
async def test_a_journal_of_others_costs_a_step_or_two_and_that_is_said(inline):
    backfill = BackfillPolicy(selection="history", inline=inline)
    async with cache_of(Shelf(), backfill=backfill) as cache:
        for number in DRAWN:
            await cache.get(f"new:{number}")
        await cache.settle()

        assert 0 < cache.stats.backfill_keys <= 1500
        reasons = [record.reason for record in cache.audit_log if record.reason]
        assert reasons[-1].startswith("of the 500 keys loaded last, 0 were read in ")


@pytest.mark.parametrize(
    "shelf",
    [Shelf(), Shelf("new"), Shelf(provenance=Provenance(time=-1e6, host="web-1"), pace=1e3)],
    ids=["of others", "of unknown origin", "old"],
)
async def test_ready_gives_up_on_a_journal_that_nothing_vouches_for_with_a_reason(shelf):
    async with cache_of(shelf, clock=current_time) as cache:
        await cache.ready(0.95)

        assert current_time() < 1.0
        assert cache.readiness.state is ReadinessState.GAVE_UP
        assert cache.readiness.reason == (
            "the history is old or of unknown origin, so nothing more is loaded before it is read; "
            "1500 of 3000 hot keys have been cached"
        )
        assert cache.stats.backfill_keys == 1500


async def test_traffic_that_reads_what_ready_has_loaded_makes_the_recovery_go_on():
    async with cache_of(Shelf("new")) as cache:
        await cache.ready(0.95)
        for number in DRAWN[:300]:
            await cache.get(f"new:{number}")

        assert cache.stats.size == 3000


async def test_ready_loads_all_that_fits_of_a_journal_that_was_saved_lately():
    async with cache_of(Shelf("new", RECENT, 10.0)) as cache:
        await cache.ready(0.95)

        assert cache.readiness.state is ReadinessState.READY
        assert cache.stats.size >= 0.95 * 3000


async def test_beside_traffic_that_reads_nothing_of_it_ready_gives_up_as_well():
    async with cache_of(Shelf(provenance=RECENT), max_backfills=3) as cache:
        for number in DRAWN[:2000]:
            await cache.get(f"new:{number}")
        await cache.ready(0.95)

        assert cache.readiness.state is ReadinessState.GAVE_UP
        assert cache.readiness.reason.startswith("of the 500 keys loaded last, 0 were read in ")


async def test_a_source_that_is_called_for_each_key_is_called_few_times_in_vain():
    running = most = 0

    async def load(key):
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return ROWS[key]
        finally:
            running -= 1

    cache = BackfillCache(
        each(load),
        capacity=3000,
        journal=Shelf(),
        backfill=BackfillPolicy(selection="history", inline=True),
    )
    async with cache:
        for number in DRAWN:
            await cache.get(f"new:{number}")

        assert 0 < cache.stats.backfill_keys <= 150
    assert most <= 50


@pytest.mark.parametrize("store", [MemoryStore, lambda size: WeighedStore(size, lambda _key, _value: 1)])
async def test_without_probation_a_journal_of_others_ends_as_well(store):
    backfill = BackfillPolicy(selection="history", inline=True, probation=False)
    async with cache_of(Shelf(), capacity=None, store=store(3000), backfill=backfill) as cache:
        for number in DRAWN:
            await cache.get(f"new:{number}")

        assert 0 < cache.stats.backfill_keys <= 1500


class Kept:
    """A journal in memory that keeps what is saved."""

    def __init__(self):
        self.heats = None

    async def load(self):
        return self.heats

    async def save(self, heats, /):
        self.heats = heats


@pytest.mark.parametrize("eviction", ["fifo", "lru", "sieve", "s3-fifo"])
@pytest.mark.parametrize(("lookups", "is_back"), [(5, False), (15, True)])
async def test_what_the_cache_held_comes_back_before_what_was_not_much_hotter(eviction, lookups, is_back):
    shelf = Kept()
    async with cache_of(shelf, capacity=3, eviction=eviction) as cache:
        for _ in range(lookups):
            await cache.get("old:0")
        await cache.invalidate("old:0")
        for number in (1, 2, 3):
            await cache.get(f"new:{number}")

    assert list(shelf.heats.keys)[:3] == sorted(shelf.heats.cached, key=shelf.heats.keys.get, reverse=True)
    async with cache_of(shelf, capacity=3, backfill_batch=3, max_backfills=1) as cache:
        await cache.ready(0.5)

        assert sum(cache.peek(f"new:{number}") == 1 for number in (1, 2, 3)) == (2 if is_back else 3)
        assert (cache.peek("old:0") is not None) == is_back


async def test_keys_that_lived_on_hits_that_nobody_noted_come_back_too():
    shelf = Kept()
    async with cache_of(shelf, capacity=400) as cache:
        await cache.put_many(dict.fromkeys((f"new:{number}" for number in range(300)), 1))
        await cache.get("new:5")

    async with cache_of(shelf, capacity=400) as cache:
        await cache.get("old:1")
        assert cache.stats.backfill_keys == 300


async def test_many_keys_that_were_cached_are_ranked_before_many_others():
    cached = [f"old:{number}" for number in range(2500)]
    keys = {**dict.fromkeys(cached, 1.0), **{f"new:{number}": 3.0 for number in range(2500)}}
    shelf = Kept()
    shelf.heats = Heats(keys, 0.7, RECENT, 10.0, cached)
    async with cache_of(shelf, capacity=2500) as cache:
        await cache.ready(1.0)

        assert all(cache.peek(key) == 1 for key in cached)
