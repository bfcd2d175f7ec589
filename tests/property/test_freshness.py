"""How old what a read returns may be, whatever else goes on while time passes.

The programs of `tests.property.world`, with values that expire, a clock that some of their steps move,
and writes that nobody tells the cache of: only expiry protects a reader from those.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest
from anyio import create_task_group, current_time, fail_after
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_backfill import BackfillPolicy, FreshnessPolicy, LoadError, LoadPolicy
from async_backfill.outcomes import ABSENT, Failed
from async_backfill.testing import ManualClock
from tests.callers import run
from tests.property.world import KEYS, NOTHING, Table, World

TTL = 10.0


@dataclass
class DatedTable(Table):
    """A table that knows when it last said what of a row: ``seen[key][version]``, of absences too."""

    clock: ManualClock = field(default_factory=ManualClock)
    seen: defaultdict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    absences: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    async def load_many(self, asked):
        versions = {key: self.versions[key] for key in asked}
        missing = [key for key in asked if key not in self.rows]
        rows = await super().load_many(asked)
        for key in asked:
            if not isinstance(rows.get(key), Failed):
                self.seen[key][versions[key]] = self.clock()
        for key in missing:
            self.absences[key].add(versions[key])
        return rows


class AgeingWorld(World):
    """A cache whose values expire, its table, and the checks."""

    def __init__(self, table, freshness, **settings):
        self.freshness = freshness
        self.ended = 0
        self.told = Counter()
        super().__init__(table, freshness=freshness, clock=table.clock, **settings)

    def check(self):
        stats, promise = self.cache.stats, self.table.promise
        promise(stats.lookups == stats.hits + stats.misses, f"lookups: {stats}")
        promise(self.ended <= stats.lookups <= self.lookups, f"{self.ended} to {self.lookups}: {stats}")
        promise(stats.misses == stats.led + stats.joined, f"misses: {stats}")
        promise(min(stats.led, stats.joined, stats.hits - stats.stale) >= 0, f"below zero: {stats}")
        promise(stats.absent + stats.failed <= stats.misses, f"more ends than misses: {stats}")
        told_apart = not stats.miss_causes or sum(stats.miss_causes.values()) == stats.misses
        promise(told_apart and min(stats.miss_causes.values(), default=0) >= 0, f"causes: {stats}")
        causes = stats.miss_keys + stats.refresh_keys + stats.backfill_keys
        promise(causes == stats.source_keys <= self.table.delivered, f"keys without a cause: {stats}")
        promise(self.capacity is None or stats.size <= self.capacity, f"above capacity: {stats}")
        cached = {key: self.cache.peek(key, NOTHING) for key in KEYS}
        cached = {key: value for key, value in cached.items() if value is not NOTHING}
        promise(len(cached) <= stats.size, f"size: {stats}")
        for key, version in cached.items():
            age = self.table.clock() - self.table.seen[key].get(version, -math.inf)
            promise(age < TTL, f"{key} is {age} old, and fresh")
            promise(version >= self.told[key], f"{key} outlived a write that the cache was told of")

    async def read(self, asked, call):
        asked = tuple(dict.fromkeys(asked))
        table, now, started, told = self.table, self.table.clock(), current_time(), self.told.copy()
        servable = {key for key in asked if self.cache._near.fresh.leftover(key) is not ABSENT}
        self.lookups += len(asked)
        try:
            found = await call()
        except LoadError:
            self.ended += len(asked)
            table.promise(servable < set(asked), f"an error, though there were values of {asked}")
            raise
        self.ended += len(asked)
        patience = self.freshness.stale_wait
        if patience is not None and servable == set(asked):
            table.promise(current_time() - started <= patience, f"waited for {asked} beyond stale_wait")
        for key in asked:
            if key in found:
                known, ends = {found[key]} - table.absences[key], TTL + self.freshness.stale_for
            else:
                known, ends = table.absences[key], self.freshness.absent_ttl or 0.0
            # What the source said while the read waited is never too old.
            times = [table.seen[key].get(version, -math.inf) for version in known if version >= told[key]]
            youngest = max(times, default=-math.inf)
            soon_enough = youngest > now - ends or youngest >= now
            table.promise(soon_enough, f"{key} was {found.get(key)} at {youngest}, read at {now}")

    async def put(self, key):
        version = self.table.write(key)
        self.table.seen[key][version] = self.table.clock()
        await self.cache.put(key, version)
        self.told[key] = max(self.told[key], version)

    async def update(self, key):
        await self.tell(key, self.table.write(key))

    async def delete(self, key):
        self.table.delete(key)
        await self.tell(key, self.table.versions[key])

    async def tell(self, key, version):
        await self.cache.invalidate(key)
        self.told[key] = max(self.told[key], version)

    async def clear(self, _):
        await super().clear(None)
        self.told.update({key: self.table.versions[key] - self.told[key] for key in KEYS})

    async def change_untold(self, key):
        self.table.write(key)

    async def delete_untold(self, key):
        self.table.delete(key)

    async def advance(self, seconds):
        self.table.clock.advance(seconds)


keys = st.sampled_from(KEYS)
few_keys = st.sampled_from("aabe")  # where programs meet; "e" does not exist at first
patience = st.sampled_from([None, None, None, 0, 1, 2])
ages = st.sampled_from([0.125, 1.0, 2.0, 5.0, 9.875, TTL])
steps = st.one_of(
    st.tuples(st.sampled_from(["get", "get", "fetch"]), few_keys, patience),
    st.tuples(st.just("get"), keys, patience),
    st.tuples(st.just("get_many"), st.lists(keys, max_size=5).map(tuple), patience),
    st.tuples(st.sampled_from(["put", "update", "delete"]), few_keys, st.none()),
    st.tuples(st.sampled_from(["change_untold", "delete_untold"]), few_keys, st.none()),
    st.tuples(st.just("advance"), ages, st.none()),
    st.tuples(st.just("advance"), ages, st.none()),
    st.tuples(st.sampled_from(["clear", "evict", "backfill", "turn"]), st.none(), patience),
    st.tuples(st.just("sleep"), st.integers(1, 3), st.none()),
)
programs = st.lists(st.lists(steps, min_size=1, max_size=14), min_size=1, max_size=5)
answers = st.lists(
    st.tuples(st.sampled_from(["good", "good", "good", "bad", "bad key"]), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)
freshness = st.builds(
    FreshnessPolicy,
    ttl=st.just(TTL),
    jitter=st.sampled_from([0.0, 0.0, 0.5]),
    stale_for=st.sampled_from([0.0, 5.0, 5.0]),
    stale_wait=st.sampled_from([0.0, 0.5, None]),
    retry_after=st.sampled_from([1.0, 5.0]),
    early=st.sampled_from([0.0, 0.0, 1.0]),
    absent_ttl=st.sampled_from([None, 15.0]),
    absent_capacity=st.sampled_from([1, 10]),
    seed=st.just(1),
)
load = st.builds(
    LoadPolicy,
    max_batch=st.integers(1, 4),
    concurrency=st.integers(1, 3),
    timeout=st.sampled_from([None, 2.0]),
    linger=st.sampled_from([0.0, 0.0, 1.0]),
)
backfill = st.builds(
    BackfillPolicy,
    window=st.integers(3, 20),
    evicts=st.booleans(),
    inline=st.booleans(),
    selection=st.sampled_from(["source", "history"]),
    successors=st.integers(0, 2),
)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    program=programs,
    answers=answers,
    load=load,
    freshness=freshness,
    backfill=backfill,
    capacity=st.sampled_from([None, None, 1, 2, 4]),
    max_backfills=st.sampled_from([0, 0, None]),
    age=st.sampled_from([0.0, 9.875, TTL, TTL, 12.0]),
)
def test_no_read_is_too_old_or_written_over_and_nobody_waits_too_long(
    backend, program, answers, load, freshness, age, **settings
):
    async def main() -> None:
        world = AgeingWorld(DatedTable(load, answers), freshness, **settings)
        async with world.cache:
            with fail_after(10_000):
                # Chance alone seldom comes upon what is stale or known to be absent.
                await world.perform([("get", "e", None), ("put", "b", None), ("put", "a", None)])
                await world.perform([("advance", age, None)])
                async with create_task_group() as tasks:
                    for part in program:
                        tasks.start_soon(world.perform, part)
                await world.cache.settle()
            world.check_at_rest()

    run(main, backend)
