"""What callers do to a value reaches nobody else's: the far tier gets it as it was when it landed."""

from __future__ import annotations

import gc
import json
import weakref
from contextlib import suppress

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import FarTier, FreshnessPolicy
from async_backfill.contracts import Sealing
from async_backfill.testing import GatedSource
from tests.callers import start
from tests.far.shared import Leases, Shared
from tests.far.test_reading import CountedSource, cache_of

pytestmark = pytest.mark.anyio


class SealingShared(Shared, Sealing):
    """A store that keeps JSON, and refuses what JSON has no type for."""

    def __init__(self):
        super().__init__()
        self.sealed = []

    def seal(self, items, /, *, read_at=None):  # noqa: ARG002 - it says no age
        self.sealed.append(tuple(items))
        sealed = {}
        for key, value in items.items():
            with suppress(TypeError):
                sealed[key] = json.dumps(value)
        return sealed


class FreshRows:
    """A source whose rows are new dicts each time, and bad where the key says so."""

    def __init__(self):
        self.calls = 0

    async def load_many(self, keys, /):
        self.calls += 1
        return {key: object() if "bad" in key else {"price": 10} for key in keys}


@pytest.fixture(params=[False, True], ids=["", "leases"])
def far(request):
    shared = SealingShared()
    return shared, {"leases": Leases(shared)} if request.param else {}


async def spoil(cache, key):
    value = await cache.get(key)
    value["price"] = -1


async def test_a_loaded_value_that_its_caller_changes_is_written_as_it_was_loaded(far):
    shared, parts = far
    async with cache_of(FreshRows(), shared, **parts) as cache, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(spoil, cache, "k1")
        tasks.start_soon(spoil, cache, "k2")
        await cache.settle()

    assert (shared.value("k1"), shared.value("k2")) == ('{"price": 10}', '{"price": 10}')


async def test_a_value_that_waits_for_a_slow_store_is_written_as_it_was_loaded(far):
    shared, parts = far
    shared.lease_seconds = 100.0
    shared.delays = {"set": 5.0, "set leased": 5.0}
    async with cache_of(FreshRows(), shared, timeout=60.0, **parts) as cache:
        await cache.get("k1")
        await wait_all_tasks_blocked()
        await spoil(cache, "k2")  # waits behind the first
        await cache.settle()

    assert shared.value("k2") == '{"price": 10}'


async def test_what_was_put_is_written_as_it_was_put(far):
    shared, parts = far
    shared.delay = 5.0
    async with (
        cache_of(FreshRows(), shared, timeout=60.0, **parts) as cache,
        anyio.create_task_group() as tasks,
    ):
        value = {"price": 10}
        items = {"k1": value}
        start(tasks, cache.put_many, items)
        await wait_all_tasks_blocked()
        value["price"] = -1
        items["k2"] = value
        await cache.settle()

    assert set(shared.entries) == {"k1"}
    assert shared.entries["k1"][0] == '{"price": 10}'


async def test_a_value_refused_is_counted_at_once_and_spoils_no_other(far):
    shared, parts = far
    async with cache_of(FreshRows(), shared, **parts) as cache:
        await cache.get_many(["k1", "bad 1", "k2", "bad 2"])
        assert cache.stats.far.unwritten == 2
        await cache.settle()

        assert (cache.stats.far.written, cache.stats.far.unwritten) == (2, 2)
    assert set(shared.entries) == {"k1", "k2"}
    assert shared.leases == {}


async def test_a_put_that_the_store_refuses_removes_the_older_copy_there_and_elsewhere():
    shared = SealingShared()
    async with (
        cache_of(FreshRows(), shared, invalidations=shared.ears("a")) as cache,
        cache_of(FreshRows(), shared, invalidations=shared.ears("b")) as other,
    ):
        await cache.put("k1", 1)
        await other.put("k1", 2)
        await cache.put("k1", odd := object())

        assert not shared.has("k1")
        assert cache.peek("k1") is odd
        assert other.peek("k1") is None
        assert cache.stats.far.unwritten == 1


async def test_a_refresh_that_the_store_refuses_leaves_no_older_copy(far):
    (shared, parts), rows = far, {"k1": 1}
    source = CountedSource(rows)
    freshness = FreshnessPolicy(ttl=10.0, stale_for=100.0, stale_wait=0.0)
    async with cache_of(source, shared, ttl=1000.0, freshness=freshness, **parts) as cache:
        await cache.get("k1")
        await cache.settle()
        assert shared.value("k1") == "1"
        rows["k1"] = object()
        shared.entries["k1"] = ("1", -2000.0, 1e9)  # too old to be taken in place of the refresh
        await anyio.sleep(11.0)
        await cache.get("k1")
        await cache.settle()

        assert cache.peek("k1") is rows["k1"]
        assert not shared.has("k1")
        assert shared.leases == {}


async def test_a_load_that_the_store_refuses_leaves_what_another_has_put_meanwhile():
    shared, source = SealingShared(), GatedSource({"k1": 1j})
    shared.entries["k1"] = ("0", -2000.0, 1e9)  # an old copy, which is leased
    parts = {"leases": Leases(shared), "freshness": FreshnessPolicy(ttl=1000.0)}
    async with (
        cache_of(source, shared, **parts) as cache,
        cache_of(CountedSource({}), shared, **parts) as other,
        anyio.create_task_group() as tasks,
    ):
        caller = start(tasks, cache.get, "k1")
        await wait_all_tasks_blocked()
        await other.put("k1", 2)
        source.open()
        await wait_all_tasks_blocked()
        await cache.settle()

        assert caller.outcome == 1j
        assert shared.value("k1") == "2"


async def test_a_copy_of_what_the_store_refuses_is_not_read_where_its_removal_failed(far):
    (shared, parts), rows = far, {"k1": 1}
    freshness = FreshnessPolicy(ttl=10.0, stale_for=100.0)
    async with cache_of(CountedSource(rows), shared, freshness=freshness, **parts) as cache:
        await cache.get("k1")
        await cache.settle()
        await anyio.sleep(11.0)
        rows["k1"] = object()
        shared.errors = dict.fromkeys(("delete", "release"), ConnectionError("gone"))
        await cache.get("k1")
        await cache.settle()
        shared.entries["k1"] = ("1", anyio.current_time(), 1e9)  # as young as can be
        cache.evict_oldest()
        assert await cache.get("k1") is rows["k1"]
        shared.errors = {}
        await cache.get("k2", default=None)
        await cache.settle()

        assert not shared.has("k1")


async def test_who_waits_for_the_lease_of_a_value_that_is_refused_gets_the_value():
    shared, source = SealingShared(), GatedSource({"k1": 1j})
    async with (
        cache_of(source, shared, leases=Leases(shared)) as cache,
        cache_of(source, shared, leases=Leases(shared)) as other,
        anyio.create_task_group() as tasks,
    ):
        callers = [start(tasks, each.get, "k1") for each in (cache, other)]
        await wait_all_tasks_blocked()
        source.open()
        await anyio.sleep(0.2)

        assert [caller.outcome for caller in callers] == [1j, 1j]
        assert shared.leases == {}


async def test_a_store_that_fails_to_seal_fails_no_load_and_is_counted(far):
    shared, parts = far
    shared.seal = lambda _: 1 / 0
    async with cache_of(FreshRows(), shared, **parts) as cache:
        assert await cache.get_many(["k1", "k2"]) == {"k1": {"price": 10}, "k2": {"price": 10}}
        await cache.put("k3", 3)
        await cache.settle()

        assert cache.stats.far.unwritten == 3
        assert cache.stats.far.failures == 2
    assert shared.entries == {}
    assert shared.leases == {}


async def test_a_store_that_does_not_say_that_it_seals_gets_the_values_themselves():
    shared = Shared()
    shared.seal = lambda _: pytest.fail("it was asked")
    async with cache_of(FreshRows(), shared) as cache:
        value = await cache.get("k1")
        await cache.settle()

        assert shared.value("k1") is value
    assert FarTier(store=shared).sealing is None


async def test_a_value_is_sealed_once_and_nothing_that_came_from_the_store_is(far):
    shared, parts = far
    async with cache_of(FreshRows(), shared, **parts) as cache:
        await cache.get_many(["k1", "k2"])
        await cache.settle()
    async with cache_of(FreshRows(), shared, **parts) as cache:
        await cache.get_many(["k1", "k2", "k3"])
        await cache.settle()

    assert shared.sealed == [("k1", "k2"), ("k3",)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["get", "put", "drop"])), max_size=20))
async def test_whatever_callers_do_to_values_the_store_has_what_was_loaded_or_put(steps):
    shared = SealingShared()
    async with cache_of(FreshRows(), shared) as cache:
        for key, step in steps:
            if step == "get":
                await spoil(cache, key)
            elif step == "put":
                value = {"price": 20}
                await cache.put(key, value)
                value["price"] = -1
            else:
                await cache.invalidate(key)
        await cache.settle()

    assert {entry[0] for entry in shared.entries.values()} <= {'{"price": 10}', '{"price": 20}'}


class LongRows:
    """A source of 60 rows of ``size`` bytes."""

    def __init__(self, size):
        self.row = "x" * size

    async def load_many(self, keys, /):
        return {key: [self.row] for key in keys if int(key) < 60}


async def test_many_long_values_are_sealed_a_megabyte_at_a_time(far):
    shared, parts = far
    keys = [str(number) for number in range(70)]
    shared.lease_seconds = 100.0

    async def count():
        while True:
            shared.sealed.append(("a turn",))
            await anyio.lowlevel.checkpoint()

    async with cache_of(LongRows(100_000), shared, **parts) as cache, anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        found = await cache.get_many(keys)
        await cache.settle()
        tasks.cancel_scope.cancel()

    assert len(found) == 60
    assert [len(shared.value(key)) for key in found] == [100_004] * 60
    calls = [(number, sealed) for number, sealed in enumerate(shared.sealed) if sealed != ("a turn",)]
    assert [len(sealed) for _, sealed in calls] == [8, 9, 9, 9, 9, 9, 7]
    assert calls[-1][0] - calls[0][0] >= 2 * (len(calls) - 2)  # others had their turns in between
    assert (cache.stats.far.written, cache.stats.far.unwritten) == (60, 0)


async def test_many_short_values_are_sealed_in_the_step_of_landing(far):
    shared, parts = far
    async with cache_of(LongRows(100), shared, **parts) as cache:
        await cache.get_many([str(number) for number in range(60)])
        await cache.settle()

    assert [len(sealed) for sealed in shared.sealed] == [8, 52]
    assert cache.stats.far.written == 60


async def test_what_was_put_while_long_values_were_sealed_wins(far):
    shared, parts = far
    shared.lease_seconds = 100.0

    async def put():
        while not shared.sealed:
            await anyio.lowlevel.checkpoint()
        await cache.put("50", "put")

    async with cache_of(LongRows(100_000), shared, **parts) as cache, anyio.create_task_group() as tasks:
        tasks.start_soon(put)
        await cache.get_many([str(number) for number in range(60)])
        await cache.settle()

        assert (cache.peek("50"), shared.value("50")) == ("put", '"put"')


class Text(str):  # noqa: SLOT000 - slots would leave no room for the reference
    """Text that can be referred to weakly."""


async def test_nothing_keeps_what_was_sealed_once_it_is_written(far):
    shared, parts = far
    refs, plain = [], shared.seal

    def seal(items):
        texts = {key: Text(value) for key, value in plain(items).items()}
        refs.extend(map(weakref.ref, texts.values()))
        return texts

    shared.seal = seal
    async with cache_of(LongRows(100), shared, **parts) as cache:
        await cache.get_many([str(number) for number in range(60)])
        await cache.settle()
        await shared.clear()
        await wait_all_tasks_blocked()
        gc.collect()

        assert (len(refs), [ref() for ref in refs if ref() is not None]) == (60, [])
