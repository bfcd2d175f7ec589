"""Whatever happens to a lease's holder, waiter or write: it is given back, and each wait has an end."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from async_backfill import FreshnessPolicy, LoadError, LoadPolicy
from async_backfill.testing import GatedSource
from tests.callers import PENDING, outcomes, start
from tests.far.shared import Leases, Shared
from tests.far.test_fleet import fleet
from tests.far.test_reading import ROWS, CountedSource, cache_of
from tests.leases import lease

pytestmark = pytest.mark.anyio


class Slow(CountedSource):
    """A source that takes ``seconds``, and raises ``error`` if there is one."""

    def __init__(self, rows, seconds, error=None):
        super().__init__(rows)
        self.seconds = seconds
        self.error = error

    async def load_many(self, keys, /):
        self.calls.append(tuple(keys))
        await anyio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return {key: self.rows[key] for key in keys if key in self.rows}


async def seconds_of(call, *args):
    started = anyio.current_time()
    await call(*args)
    return anyio.current_time() - started


async def first_lease(shared, key):
    """Lease ``key`` for a process that dies; return the token."""
    token = secrets.token_bytes(12) + bytes(4)
    await Leases(shared).acquire_many([key], token)
    return token


async def test_callers_who_hang_up_leave_no_key_leased():
    shared, source = Shared(), Slow(ROWS, 0.01)
    shared.answer_delays["lease"] = 0.004
    async with fleet(source, shared, size=2) as caches:
        for leave in (0.001, 0.002, 0.003, 0.005, 0.01):
            for key in ROWS:
                with anyio.move_on_after(leave):
                    await caches[0].get(key)
        await anyio.sleep(3.0)

        assert shared.leases == {}
        assert caches[0].stats.far.unreleased == 0
        assert await seconds_of(caches[1].get, "k1") < 0.1


async def test_an_acquire_whose_answer_comes_too_late_leaves_no_key_leased():
    shared, source = Shared(), CountedSource(ROWS)
    shared.answer_delays["lease"] = 1.0
    async with fleet(source, shared, size=1) as caches:
        assert await caches[0].get("k1") == 1
        await anyio.sleep(0.1)

        assert shared.leases == {}
        assert shared.entries == {}  # what was loaded without a lease is not written


async def test_a_lease_that_arrives_after_its_release_is_released_once_more():
    shared, source = Shared(), CountedSource(ROWS)
    late = Leases(shared)

    async def arrive(keys, token, /, *, outdated=()):
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.1)
        return await Leases(shared).acquire_many(keys, token, outdated=outdated)

    late.acquire_many = arrive
    async with cache_of(source, shared, leases=late) as cache:
        await cache.get("k1")
        shared.leases["k1"] = (b"late", anyio.current_time() + 10.0)
        await anyio.sleep(3.0)

        assert len(shared.calls_of("release")) == 2


async def test_a_write_that_fails_leaves_no_key_leased():
    shared, source = Shared(), CountedSource(ROWS)
    shared.delays["set leased"] = 0.2
    async with fleet(source, shared, size=2) as caches:
        assert await caches[0].get("k1") == 1
        await caches[0].settle()
        await anyio.sleep(0.1)
        shared.delays.clear()

        assert shared.leases == {}
        assert caches[0].stats.far.unwritten == 1
        assert await seconds_of(caches[1].get, "k1") == 0.0


async def test_releases_are_tried_again_until_the_far_tier_answers():
    shared, source = Shared(), GatedSource(ROWS)
    async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
        start(tasks, caches[0].get, "k1")
        await wait_all_tasks_blocked()
        shared.error = ConnectionError("gone")
        source.open()
        await anyio.sleep(2.0)
        assert shared.lease("k1") is not None
        shared.error = None
        await anyio.sleep(3.0)

        assert shared.leases == {}
        assert caches[0].stats.far.unreleased == 0


async def test_a_lease_that_cannot_be_released_is_counted_after_a_bounded_number_of_tries():
    shared, source = Shared(), GatedSource(ROWS)
    async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
        start(tasks, caches[0].get, "k1")
        await wait_all_tasks_blocked()
        shared.error = ConnectionError("gone")
        source.open()
        await anyio.sleep(60.0)

        assert caches[0].stats.far.unreleased == 1
        assert len(shared.calls_of("release")) <= 6


async def test_a_cache_that_closes_gives_its_leases_back():
    shared, source = Shared(), GatedSource(ROWS)
    async with anyio.create_task_group() as tasks, fleet(source, shared, size=1) as caches:
        start(tasks, caches[0].get_many, list(ROWS))
        await wait_all_tasks_blocked()
        assert len(shared.leases) == len(ROWS)

    assert shared.leases == {}


async def test_a_cache_that_closes_while_it_acquires_gives_its_leases_back():
    shared, source = Shared(), GatedSource(ROWS)
    shared.answer_delays["lease"] = 0.04
    async with anyio.create_task_group() as tasks, fleet(source, shared, size=1) as caches:
        start(tasks, caches[0].get, "k1")
        await anyio.sleep(0.01)
        assert shared.lease("k1") is not None

    assert shared.leases == {}


async def test_a_cache_whose_task_is_cancelled_gives_its_leases_back():
    shared, source = Shared(), GatedSource(ROWS)
    with anyio.CancelScope() as scope:
        async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
            start(tasks, caches[0].get, "k1")
            await wait_all_tasks_blocked()
            assert shared.lease("k1") is not None
            scope.cancel()

    assert shared.leases == {}


@pytest.mark.parametrize(("settings", "wait"), [({}, 1.0), ({"lease_wait": 0.25}, 0.25)])
async def test_a_holder_that_died_costs_a_lookup_the_lease_wait_and_no_more(settings, wait):
    shared, source = Shared(), CountedSource(ROWS)
    await lease(Leases(shared), ["k1"])
    async with fleet(source, shared, size=2, **settings) as caches:
        assert await seconds_of(caches[0].get, "k1") == pytest.approx(wait)
        await caches[0].settle()
        assert shared.value("k1") == 1
        assert await seconds_of(caches[1].get, "k1") == 0.0

    assert source.calls == [("k1",)]


async def test_of_all_who_wait_for_a_holder_that_died_one_loads_the_key():
    shared, source = Shared(), Slow(ROWS, 0.2)
    await first_lease(shared, "k1")
    async with fleet(source, shared, size=20) as caches:
        started = anyio.current_time()
        found = await outcomes(lambda cache: cache.get("k1"), *((cache,) for cache in caches))

        assert found == [1] * 20
        assert source.calls == [("k1",)]
        assert anyio.current_time() - started == pytest.approx(1.2, abs=0.06)
        assert shared.value("k1") == 1
        assert shared.leases == {}


async def test_when_the_one_dies_too_the_others_load_after_twice_the_wait():
    shared, source = Shared(), CountedSource(ROWS)
    token = await first_lease(shared, "k1")
    async with fleet(source, shared, size=3) as caches, anyio.create_task_group() as tasks:
        callers = [start(tasks, cache.get, "k1") for cache in caches]
        await anyio.sleep(0.9)
        await Leases(shared).acquire_many(["k1"], token[:12] + b"dead")
        await anyio.sleep(1.0)
        assert [caller.outcome for caller in callers] == [PENDING] * 3
        await anyio.sleep(0.2)

        assert [caller.outcome for caller in callers] == [1] * 3
        assert shared.value("k1") == 1


@pytest.mark.parametrize("first", ["holder", "other"])
async def test_who_ends_first_writes_when_a_slow_holder_is_overtaken(first):
    shared, source = Shared(), GatedSource({"k1": "loaded"})
    token = await first_lease(shared, "k1")
    async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
        caller = start(tasks, caches[0].get, "k1")
        await anyio.sleep(1.5)
        if first == "other":
            source.open()
            await anyio.sleep(0.1)
        kept = await Leases(shared).set_many({"k1": "slow"}, {"k1": token})
        source.open()
        await anyio.sleep(0.1)

        assert (kept, shared.value("k1")) == ((["k1"], "slow") if first == "holder" else ([], "loaded"))
        assert caller.outcome == "loaded"


async def test_a_holder_that_fails_does_not_end_the_lease_that_was_taken_over():
    shared, source = Shared(), GatedSource(ROWS)
    token = await first_lease(shared, "k1")
    async with fleet(source, shared, size=2) as caches, anyio.create_task_group() as tasks:
        callers = [start(tasks, cache.get, "k1") for cache in caches]
        await anyio.sleep(1.5)
        await Leases(shared).release_many({"k1": token})
        await anyio.sleep(0.1)
        assert source.calls == [("k1",)]
        source.open()
        await anyio.sleep(0.1)

        assert [caller.outcome for caller in callers] == [1, 1]


async def test_who_leaves_while_it_takes_a_lease_over_leaves_no_key_leased():
    for leave in (1.0005, 1.0015, 1.0025, 1.0035, 1.0045, 1.006):
        shared, source = Shared(), Slow(ROWS, 0.01)
        shared.delays = {"lease": 0.001}
        shared.answer_delays["lease"] = 0.001
        await first_lease(shared, "k1")
        async with fleet(source, shared, size=1) as caches:
            with anyio.move_on_after(leave):
                await caches[0].get("k1")
            await anyio.sleep(3.0)

            assert {held[0][12:] for held in shared.leases.values()} <= {bytes(4)}


@pytest.mark.parametrize(("load", "wait"), [(0.001, 0.1), (0.2, 0.6), (2.0, 3.0)])
async def test_who_waits_for_a_lease_waits_three_times_the_usual_load(load, wait):
    shared, source = Shared(), Slow(ROWS, load)
    async with fleet(source, shared, size=1) as caches:
        await caches[0].get("k1")
        await lease(Leases(shared), ["k2"])

        assert await seconds_of(caches[0].get, "k2") == pytest.approx(wait + load)


async def test_no_wait_for_a_lease_is_longer_than_the_timeout_of_a_load():
    shared, source = Shared(), CountedSource(ROWS)
    await lease(Leases(shared), ["k1"])
    async with fleet(source, shared, size=1, lease_wait=9.0, load=LoadPolicy(timeout=0.5)) as caches:
        assert await seconds_of(caches[0].get, "k1") == pytest.approx(0.5)


async def test_who_loads_after_its_wait_writes_nothing_that_an_invalidation_has_overruled():
    shared, source = Shared(), GatedSource({"k1": "old"})
    await lease(Leases(shared), ["k1"])
    async with fleet(source, shared, size=2, listens=False) as caches, anyio.create_task_group() as tasks:
        start(tasks, caches[0].get, "k1")
        await anyio.sleep(1.5)
        await caches[1].invalidate("k1")
        source.release()
        await caches[0].settle()

    assert shared.value("k1") is None


async def test_a_key_that_nobody_leased_does_not_wait_beside_a_leased_one():
    shared, source = Shared(), CountedSource(ROWS)
    await shared.set_many({"k2": 2})
    await lease(Leases(shared), ["k1"])
    async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
        callers = {key: start(tasks, caches[0].get, key) for key in ("k1", "k2", "k3")}
        await anyio.sleep(0.01)

        assert {key: caller.outcome for key, caller in callers.items()} == {"k1": PENDING, "k2": 2, "k3": 3}
        assert (caches[0].peek("k2"), caches[0].peek("k3")) == (2, 3)
        await anyio.sleep(1.0)
        assert callers["k1"].outcome == 1


async def test_what_is_in_the_store_does_not_wait_beside_what_the_source_loads():
    shared, source = Shared(), Slow(ROWS, 5.0)
    await shared.set_many({"k1": 1})
    async with cache_of(source, shared) as cache, anyio.create_task_group() as tasks:
        callers = [start(tasks, cache.get, key) for key in ("k1", "k2")]
        await anyio.sleep(0.01)

        assert [caller.outcome for caller in callers] == [1, PENDING]


async def test_a_copy_that_waits_beside_a_leased_key_is_fresh_no_longer_for_that():
    shared, source = Shared(), CountedSource(ROWS)
    await shared.set_many({"k2": 2})
    await lease(Leases(shared), ["k1"])
    settings = {"freshness": FreshnessPolicy(ttl=2.0), "lease_wait": 1.5}
    async with fleet(source, shared, size=1, **settings) as caches:
        assert await caches[0].get_many(["k1", "k2"]) == {"k1": 1, "k2": 2}
        await anyio.sleep(0.75)

        assert caches[0].peek("k2") is None
        assert caches[0].peek("k1") == 1


async def test_waits_for_leases_hold_no_place_of_a_load():
    shared, source = Shared(), CountedSource(ROWS)
    await lease(Leases(shared), [f"k{n}" for n in range(9)])
    load = LoadPolicy(concurrency=1, max_batch=1)
    async with fleet(source, shared, size=1, load=load) as caches, anyio.create_task_group() as tasks:
        for n in range(9):
            start(tasks, caches[0].get, f"k{n}")
        await wait_all_tasks_blocked()

        assert await seconds_of(caches[0].get, "k9") == 0.0


async def test_after_their_waits_no_more_loads_run_at_once_than_are_allowed():
    class Counting(Slow):
        running = most = 0

        async def load_many(self, keys, /):
            self.running += 1
            self.most = max(self.most, self.running)
            found = await super().load_many(keys)
            self.running -= 1
            return found

    shared, source = Shared(), Counting(ROWS, 0.1)
    await lease(Leases(shared), list(ROWS))
    load = LoadPolicy(concurrency=2, max_batch=1)
    async with fleet(source, shared, size=1, load=load) as caches, anyio.create_task_group() as tasks:
        for key in ROWS:
            start(tasks, caches[0].get, key)
        await anyio.sleep(5.0)

    assert (source.most, len(source.calls)) == (2, len(ROWS))


async def test_a_put_wins_over_a_key_that_waits_for_a_lease():
    shared, source = Shared(), CountedSource({"k1": "old", "k2": 2})
    await lease(Leases(shared), ["k1"])
    async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
        callers = [start(tasks, caches[0].get, key) for key in ("k1", "k2")]
        await anyio.sleep(0.1)
        await caches[0].put("k1", "new")
        await anyio.sleep(2.0)

        assert caches[0].peek("k1") == "new"
        assert shared.value("k1") == "new"
        assert [caller.outcome for caller in callers] == ["new", 2]


async def test_all_who_wait_for_a_leased_key_get_it_also_if_some_of_them_leave():
    shared, source = Shared(), CountedSource(ROWS)
    await lease(Leases(shared), ["k1"])
    async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
        stays = [start(tasks, caches[0].get, "k1"), start(tasks, caches[0].get_many, ["k1", "k2"])]
        for leave in (0.0, 0.001, 0.5):
            with anyio.move_on_after(leave):
                await caches[0].get("k1")
        await anyio.sleep(1.0)

        assert [caller.outcome for caller in stays] == [1, {"k1": 1, "k2": 2}]
        assert caches[0].stats.in_flight == 0


async def test_absence_reaches_all_processes_that_wait_for_the_lease():
    shared, source = Shared(), Slow({}, 0.05)
    async with fleet(source, shared, size=20) as caches:
        started = anyio.current_time()
        found = await outcomes(lambda cache: cache.get("nobody"), *((cache,) for cache in caches))

        assert found == [None] * 20
        assert anyio.current_time() - started < 0.15
        assert len(source.calls) == 1
        await caches[0].settle()
        assert shared.leases == {}


async def test_a_failure_reaches_all_processes_that_wait_for_the_lease_and_nobody_later():
    shared, source = Shared(), Slow(ROWS, 0.05, ConnectionError("secret"))
    async with fleet(source, shared, size=20) as caches:
        started = anyio.current_time()
        errors = await outcomes(lambda cache: cache.get("k1"), *((cache,) for cache in caches))

        assert {type(error) for error in errors} == {LoadError}
        assert anyio.current_time() - started < 0.15
        assert len(source.calls) == 1
        source.error = None
        assert await caches[5].get("k1") == 1


async def test_a_load_that_its_callers_left_tells_nothing_and_the_next_one_loads():
    shared, source = Shared(), Slow(ROWS, 0.05)
    async with fleet(source, shared, size=2) as caches, anyio.create_task_group() as tasks:
        first = start(tasks, caches[0].get, "k1")
        await wait_all_tasks_blocked()
        second = start(tasks, caches[1].get, "k1")
        await anyio.sleep(0.01)
        first.cancel()
        await anyio.sleep(0.1)

        assert second.outcome == 1


async def test_a_fleet_makes_one_refresh_of_a_stale_key_and_shares_what_it_found():
    shared, source = Shared(), Slow({"k1": 1}, 0.01)
    async with fleet(source, shared, freshness=FreshnessPolicy(ttl=10.0, stale_for=60.0)) as caches:
        for cache in caches:
            await cache.get("k1")
        source.rows["k1"] = 2
        await anyio.sleep(11.0)
        await outcomes(lambda cache: cache.get("k1"), *((cache,) for cache in caches))
        for cache in caches:
            await cache.settle()

        assert [cache.peek("k1") for cache in caches] == [2, 2, 2]
        assert len(source.calls) == 2
        assert shared.value("k1") == 2


@pytest.mark.parametrize("leases", [True, False])
async def test_an_early_refresh_that_finds_its_row_gone_removes_the_copy_for_all(leases):
    shared, source = Shared(), Slow({"k1": 1}, 1.0)
    fresh = FreshnessPolicy(ttl=60.0, early=1000.0, seed=1)
    async with fleet(source, shared, size=2, leases=leases, freshness=fresh) as caches:
        await caches[0].get("k1")
        await caches[0].settle()
        source.rows.clear()
        await anyio.sleep(50.0)
        await caches[0].get("k1")
        await anyio.sleep(2.0)

        assert await caches[0].get("k1") is None
        await caches[0].settle()
        assert shared.value("k1") is None


async def test_a_refresh_that_fails_leaves_the_copy_to_the_others():
    shared, source = Shared(), Slow({"k1": 1}, 1.0)
    fresh = FreshnessPolicy(ttl=60.0, early=1000.0, seed=1)
    async with fleet(source, shared, size=2, freshness=fresh) as caches:
        await caches[0].get("k1")
        await caches[0].settle()
        source.error = ConnectionError("down")
        await anyio.sleep(50.0)
        await caches[0].get("k1")
        await caches[0].settle()

        assert len(source.calls) == 2
        assert shared.leases == {}
        assert await caches[1].get("k1") == 1


async def test_leases_that_cannot_be_watched_are_not_waited_for():
    class Blind(Leases):
        def watch(self, keys, /):
            raise RuntimeError(f"blind to {keys}")

    shared, source = Shared(), CountedSource(ROWS)
    await lease(Leases(shared), ["k1"])
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(cache_of(source, shared, leases=Blind(shared)))

        assert await seconds_of(cache.get, "k1") == 0.0
        assert cache.stats.far.failures == 1


async def test_a_copy_whose_row_is_gone_is_removed_where_too_many_changes_wait():
    shared, rows = Shared(), dict(ROWS)
    fresh = FreshnessPolicy(ttl=1.0, stale_for=30.0)
    async with cache_of(
        CountedSource(rows), shared, leases=Leases(shared), freshness=fresh, max_queued=4
    ) as cache:
        await shared.set_many({"k9": 9}, ttl=31.0)
        await anyio.sleep(1.1)
        del rows["k9"]
        await cache.get_many(ROWS)
        await cache.settle()
        await anyio.sleep(1.0)
        await cache.get("k1")
        await cache.settle()

        assert not shared.has("k9")
