"""A far tier (L2) in memory, over network links that are slow or broken on purpose."""

from __future__ import annotations

import gc
import math
import weakref

import anyio
import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import BackfillCache, ConfigurationError, FarTier, MappingSource
from async_backfill.contracts import FarCopy
from async_backfill.testing import ManualClock, MemoryFarStore
from tests.callers import CANCELLED, PENDING, Caller, start
from tests.leases import lease

pytestmark = pytest.mark.anyio


class FailingCaller(Caller):
    """A call whose error is its outcome."""

    async def run(self):
        try:
            await super().run()
        except ConnectionError as error:
            self.outcome = error


@pytest.fixture
def store():
    return MemoryFarStore()


@pytest.fixture
def peer(store):
    return store.peer()


async def test_what_one_process_keeps_the_others_find(store, peer):
    await store.set_many({"a": 1})

    assert await peer.get_many(("a",)) == {"a": FarCopy(1, 0.0)}
    assert (len(store), len(peer)) == (1, 1)


async def test_the_clock_of_a_test_says_how_old_a_value_is():
    clock = ManualClock()
    store = MemoryFarStore(clock=clock)
    await store.set_many({"a": 1}, ttl=5.0)
    clock.advance(4.5)
    assert await store.get_many(("a",)) == {"a": FarCopy(1, 4.5)}
    clock.advance(0.5)

    assert await store.get_many(("a",)) == {}
    assert len(store) == 0


async def test_a_store_has_the_calls_that_were_made_in_its_process(store, peer):
    await store.set_many({"a": 1, "b": 2})
    await peer.get_many(("a",))
    await lease(peer.leases, ("c",))
    await store.invalidations.publish(None)

    assert store.calls == [("set_many", ("a", "b"))]
    assert peer.calls == [("get_many", ("a",))]
    assert peer.leases.calls == [("acquire_many", ("c",))]
    assert store.invalidations.calls == [None]


@pytest.mark.parametrize("keys", [(), ("a", "a")])
async def test_a_call_that_breaks_the_contract_is_refused(store, keys):
    with pytest.raises(ValueError, match="distinct keys"):
        await store.get_many(keys)


@pytest.mark.parametrize("setting", [0, -1, math.inf, "10"])
def test_a_lease_that_is_no_duration_above_zero_is_refused(setting):
    with pytest.raises(ConfigurationError, match="lease"):
        MemoryFarStore(lease=setting)


async def test_a_slow_line_delays_its_own_process_only(store, peer):
    store.link.latency, store.link.answer_latency = 0.25, 0.5
    begin = anyio.current_time()
    await peer.get_many(("a",))
    assert anyio.current_time() == begin
    await store.get_many(("a",))

    assert anyio.current_time() == begin + 0.75


async def test_processes_can_share_a_line(store):
    peer = store.peer(store.link)
    store.link.fail()

    with pytest.raises(ConnectionError):
        await peer.get_many(("a",))


async def test_a_call_that_is_given_up_on_its_way_there_has_no_effect(store, peer):
    store.link.latency = math.inf
    async with create_task_group() as tasks:
        caller = start(tasks, store.set_many, {"a": 1})
        await wait_all_tasks_blocked()
        caller.cancel()

    assert caller.outcome == CANCELLED
    assert await peer.get_many(("a",)) == {}


async def test_a_call_that_is_given_up_on_its_way_back_has_had_its_effect(store, peer):
    store.link.answer_latency = math.inf
    async with create_task_group() as tasks:
        caller = start(tasks, store.set_many, {"a": 1})
        await wait_all_tasks_blocked()
        caller.cancel()

    assert caller.outcome == CANCELLED
    assert (await peer.get_many(("a",)))["a"].value == 1


@pytest.mark.parametrize("recovers", [True, False])
async def test_a_line_that_fails_fails_the_calls_under_way(store, recovers):
    store.link.latency = math.inf
    async with create_task_group() as tasks:
        caller = FailingCaller(store.get_many, ("a",))
        tasks.start_soon(caller.run)
        await wait_all_tasks_blocked()
        store.link.fail()
        if recovers:
            store.link.recover()

    assert isinstance(caller.outcome, ConnectionError)


async def test_a_line_fails_as_it_is_told_to_until_it_recovers(store):
    store.link.fail(TimeoutError)
    for call in (
        store.get_many(("a",)),
        store.set_many({"a": 1}),
        store.delete_many(("a",)),
        store.clear(),
        lease(store.leases, ("a",)),
        store.leases.set_many({"a": 1}, {"a": b"1"}),
        store.leases.release_many({"a": b"1"}),
        store.invalidations.publish(("a",)),
    ):
        with pytest.raises(TimeoutError):
            await call
    store.link.recover()

    assert await store.get_many(("a",)) == {}


async def test_two_errors_of_a_line_are_two_objects(store):
    store.link.fail()
    errors = []
    for _ in range(2):
        try:
            await store.clear()
        except ConnectionError as error:
            errors.append(error)

    assert len(errors) == 2
    assert errors[0] is not errors[1]


async def test_who_watches_a_lease_over_a_line_that_breaks_is_woken(store, peer):
    await lease(store.leases, ("a",))
    async with create_task_group() as tasks:
        with peer.leases.watch(("a",)) as ended:
            caller = start(tasks, ended)
            await wait_all_tasks_blocked()
            assert caller.outcome == PENDING
            peer.link.fail()
            await wait_all_tasks_blocked()

            assert caller.outcome == {}


async def test_who_watches_a_lease_over_a_broken_line_looks_20_times_a_second(store):
    await lease(store.leases, ("a",))
    store.link.fail()
    begin = anyio.current_time()
    with store.leases.watch(("a",)) as ended:
        for _ in range(20):
            await ended()

    assert anyio.current_time() == pytest.approx(begin + 1.0)


async def test_what_is_published_takes_the_latency_of_both_lines(store, peer):
    store.link.latency, peer.link.latency = 0.25, 0.5
    heard = []
    async with create_task_group() as tasks:
        tasks.start_soon(peer.invalidations.listen, lambda keys: heard.append((anyio.current_time(), keys)))
        begin = anyio.current_time()
        await store.invalidations.publish(("a",))
        await anyio.sleep(10)
        tasks.cancel_scope.cancel()

    assert heard == [(begin + 0.75, ("a",))]


async def test_what_is_published_before_somebody_listens_is_heard_then(store, peer):
    heard = []
    await store.invalidations.publish(("a",))
    async with create_task_group() as tasks:
        tasks.start_soon(peer.invalidations.listen, heard.append)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert heard == [("a",)]


async def test_a_listener_whose_line_was_down_forgets_everything(store, peer):
    peer.link.latency = 1.0
    heard = []
    async with create_task_group() as tasks:
        tasks.start_soon(peer.invalidations.listen, heard.append)
        await store.invalidations.publish(("on its way",))
        peer.link.fail()
        await store.invalidations.publish(("into the void",))
        await anyio.sleep(10)
        assert heard == []
        peer.link.recover()
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert heard == [None]


async def test_a_line_that_never_failed_has_nothing_to_recover_from(store, peer):
    heard = []
    peer.link.recover()
    await store.invalidations.publish(("a",))
    async with create_task_group() as tasks:
        tasks.start_soon(peer.invalidations.listen, heard.append)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert heard == [("a",)]


async def test_a_lease_that_is_longer_than_those_of_a_process_counts_for_it_as_none():
    store = MemoryFarStore(lease=10.0)
    brief = store.peer(lease=2.0)
    late = await lease(store.leases, ("a",))

    assert set(await lease(brief.leases, ("a",))) == {"a"}
    assert await store.leases.set_many({"a": "late"}, late) == []
    assert await lease(store.leases, ("a",)) == {}


async def test_caches_with_one_tier_hear_each_other_and_not_themselves():
    store = MemoryFarStore()
    far = FarTier(store=store, invalidations=store.invalidations)
    async with (
        BackfillCache(MappingSource({}), far=far) as one,
        BackfillCache(MappingSource({}), far=far) as two,
    ):
        await two.put("k", "old")
        await anyio.sleep(0.1)
        await one.put("k", "new")
        await anyio.sleep(0.1)

        assert (one.peek("k"), two.peek("k")) == ("new", None)
        assert store.invalidations.calls == [("k",), ("k",)]


async def test_a_cache_that_has_closed_leaves_nothing_behind_that_hears(store):
    one = store.invalidations.of_one_cache()
    left = weakref.ref(one)
    async with create_task_group() as tasks:
        tasks.start_soon(one.listen, lambda _: None)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    del one
    gc.collect()

    assert left() is None


async def test_who_listens_again_for_a_cache_forgets_what_it_may_have_missed(store, peer):
    heard, one = [], store.invalidations.of_one_cache()
    for _ in range(2):
        async with create_task_group() as tasks:
            tasks.start_soon(one.listen, heard.append)
            await wait_all_tasks_blocked()
            await peer.invalidations.publish(("a",))
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await peer.invalidations.publish(("b",))

    assert heard == [("a",), None, ("a",)]


async def test_messages_that_nobody_reads_become_one_that_says_forget_everything(store, peer):
    heard = []
    for number in range(2500):
        await store.invalidations.publish((number,))
    async with create_task_group() as tasks:
        tasks.start_soon(peer.invalidations.listen, heard.append)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert heard[0] is None
    assert heard[-1] == (2499,)
    assert len(heard) <= 1001
