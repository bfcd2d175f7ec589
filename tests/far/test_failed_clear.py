"""A clear that failed is never taken for done: not by those it overrules, and by no read that follows."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_backfill import CircuitPolicy, StoreError
from async_backfill.records import CircuitState
from tests.callers import PENDING, outcomes, start
from tests.far.shared import Leases, Shared
from tests.far.test_reading import ROWS, CountedSource, cache_of

pytestmark = pytest.mark.anyio

GONE = ConnectionError("gone")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["get", "put", "invalidate"]), st.sampled_from("ab")),
        st.tuples(st.sampled_from(["clear", "pause", "evict"]), st.none()),
        st.tuples(st.just("clears"), st.sampled_from(["fail", "work", "last"])),
    ),
    max_size=30,
)


async def fails_to_clear(cache, shared):
    shared.errors["clear"] = GONE
    with pytest.raises(StoreError, match="clear: ConnectionError: gone"):
        await cache.clear()


async def begins_to_clear_again(cache, shared, *, seconds):
    """Let the far tier answer again, and see the clear begin once more, which takes so many seconds."""
    shared.errors.clear()
    shared.delays["clear"] = seconds
    await anyio.sleep(1.0)
    await cache.get("k0", default=None)
    await wait_all_tasks_blocked()
    assert len(shared.calls_of("clear")) == 2


@pytest.mark.parametrize("change", ["put", "invalidate"])
async def test_what_waits_to_be_written_fails_with_the_clear_that_overrules_it(change):
    shared, source = Shared(), CountedSource({"k1": "new"})
    await shared.set_many({"k1": "old"})
    shared.delays["set"], shared.errors["clear"] = 5.0, GONE
    async with cache_of(source, shared, timeout=9.0) as cache, anyio.create_task_group() as tasks:
        start(tasks, cache.put, "slow", 1)
        await wait_all_tasks_blocked()
        waits = start(tasks, getattr(cache, change), *{"put": ("k1", "new"), "invalidate": ("k1",)}[change])
        await wait_all_tasks_blocked()
        [cleared] = await outcomes(cache.clear, ())

        assert isinstance(cleared, StoreError)
        assert isinstance(waits.outcome, StoreError)
        assert await cache.get("k1") == "new"


async def test_what_waits_to_be_written_is_confirmed_no_sooner_than_the_clear():
    shared = Shared()
    await shared.set_many({"k1": "old", "k2": "old"})
    shared.delays.update({"set": 5.0, "clear": 5.0})
    async with (
        cache_of(CountedSource(ROWS), shared, timeout=9.0) as cache,
        anyio.create_task_group() as tasks,
    ):
        start(tasks, cache.put, "slow", 1)
        await wait_all_tasks_blocked()
        waiting = [start(tasks, cache.invalidate, "k1"), start(tasks, cache.put_many, {"k2": 1, "k3": 2})]
        await wait_all_tasks_blocked()
        start(tasks, cache.clear)
        await anyio.sleep(8.0)
        assert [caller.outcome for caller in waiting] == [PENDING, PENDING]
        await anyio.sleep(3.0)

        assert [caller.outcome for caller in waiting] == [None, None]
        assert shared.entries == {}


async def test_a_caller_whose_change_waits_for_a_clear_is_freed_when_the_cache_closes():
    shared = Shared()
    shared.delay = 3600.0
    async with anyio.create_task_group() as tasks:
        async with cache_of(CountedSource(ROWS), shared, timeout=1000.0) as cache:
            callers = [start(tasks, cache.put, key, 1) for key in ("k1", "k2")]
            await wait_all_tasks_blocked()
            start(tasks, cache.clear)
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        assert PENDING not in [caller.outcome for caller in callers]


@pytest.mark.parametrize("leases", [False, True], ids=["", "leases"])
@pytest.mark.parametrize("is_soon", [False, True], ids=["clear", "invalidate_soon"])
async def test_after_a_clear_that_failed_no_copy_is_read_until_one_has_succeeded(leases, is_soon):
    shared, source = Shared(), CountedSource({"k1": "new", "k2": "new"})
    await shared.set_many({"k1": "old", "k2": "old"})
    async with cache_of(source, shared, leases=Leases(shared) if leases else None) as cache:
        if is_soon:
            shared.errors["clear"] = GONE
            cache.invalidate_soon(None)
            await cache.settle()
        else:
            await fails_to_clear(cache, shared)
        assert await cache.get("k1") == "new"
        del shared.errors["clear"]
        await anyio.sleep(1.0)
        assert await cache.get("k2") == "new"
        await wait_all_tasks_blocked()
        assert "old" not in [entry[0] for entry in shared.entries.values()]
        await shared.set_many({"k3": "of another process"})

        assert await cache.get("k3") == "of another process"


async def test_the_others_are_told_when_the_clear_succeeds_at_last():
    shared = Shared()
    async with (
        cache_of(CountedSource(ROWS), shared, invalidations=shared.ears("a")) as cache,
        cache_of(CountedSource(ROWS), shared, invalidations=shared.ears("b")) as other,
    ):
        await other.get("k1")
        await fails_to_clear(cache, shared)
        assert other.peek("k1") == 1
        shared.errors.clear()
        await anyio.sleep(1.0)
        await cache.get("k2")
        await wait_all_tasks_blocked()

        assert other.peek("k1") is None


async def test_of_a_clear_whose_message_was_lost_only_the_message_is_sent_again(caplog):
    shared = Shared()
    async with (
        cache_of(CountedSource(ROWS), shared, invalidations=shared.ears("a")) as cache,
        cache_of(CountedSource(ROWS), shared, invalidations=shared.ears("b")) as other,
    ):
        await other.get("k1")
        shared.errors["publish"] = GONE
        with pytest.raises(StoreError, match="publish: ConnectionError: gone"):
            await cache.clear()
        await shared.set_many({"k3": "of another process"})
        for number in range(600):
            await cache.get(number, default=None)
            await anyio.sleep(0.1)

        assert await cache.get("k3") == "of another process"
        assert len(shared.calls_of("clear")) == 1
        assert 6 <= len(shared.calls_of("publish")) <= 7  # at once, after 1, 2, 4, 8, 16, then each 30 s
        assert other.peek("k1") == 1
        shared.errors.clear()
        await anyio.sleep(30.0)
        await cache.get("k2")
        await wait_all_tasks_blocked()
        assert other.peek("k1") is None
        sent = len(shared.calls_of("publish"))
        await anyio.sleep(60.0)
        await cache.get("k4", default=None)
        await wait_all_tasks_blocked()
        assert len(shared.calls_of("publish")) == sent
    assert len([line for line in caplog.messages if "could not be told to forget" in line]) == 1


async def test_a_clear_that_empties_the_store_at_the_second_try_is_not_made_a_third_time():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared, invalidations=shared.ears("a")) as cache:
        await fails_to_clear(cache, shared)
        shared.errors = {"publish": GONE}
        for number in range(600):
            await cache.get(number, default=None)
            await anyio.sleep(0.1)

        assert len(shared.calls_of("clear")) == 2
        assert len(shared.calls_of("publish")) >= 3


async def test_after_an_outage_no_put_fails_because_a_clear_is_made_again():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared) as cache:
        shared.error = GONE
        for call in (cache.clear, cache.clear, cache.clear):
            with pytest.raises(StoreError):
                await call()
        assert cache.stats.far.circuit is CircuitState.OPEN
        shared.error, shared.delays["clear"] = None, 8.0
        for number in range(3):  # what is loaded is written, and may be the probe
            await anyio.sleep(1.1)
            await cache.get(number, default=None)
            await anyio.sleep(0.1)
            await cache.put("k2", number)
        assert len(shared.calls_of("clear")) == 4

        assert cache.stats.far.circuit is CircuitState.CLOSED
        assert shared.value("k2") == 2


async def test_while_the_store_does_not_answer_no_clear_is_made_again():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared) as cache:
        shared.error = GONE
        for _ in range(3):
            with pytest.raises(StoreError):
                await cache.clear()
        for number in range(1000):
            await cache.get(number, default=None)
            await anyio.sleep(0.1)

        assert len(shared.calls_of("clear")) == 3
        assert len(shared.calls_of("get")) <= 100


async def test_a_clear_that_takes_long_gets_more_time_and_leaves_others_as_long():
    shared, made = Shared(), []
    clear = shared.clear

    async def slow_clear():
        made.append(anyio.current_time())
        await anyio.sleep(50.0)
        await clear()

    shared.clear = slow_clear
    async with cache_of(CountedSource(ROWS), shared) as cache:
        with pytest.raises(StoreError, match="clear: took longer than 10"):
            await cache.clear()
        for number in range(300):
            await cache.get(number, default=None)
            await anyio.sleep(1.0)

    gaps = [later - earlier for earlier, later in pairwise(made)]
    assert len(gaps) == 3
    for gap, least in zip(gaps, (11.0, 40.0, 80.0), strict=True):  # it ends after 10, 20, 40 s
        assert least <= gap <= least + 2.0
    assert len(shared.calls_of("clear")) == 1


async def test_a_clear_that_cannot_succeed_is_tried_less_and_less_often_and_told(caplog):
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared, circuit=CircuitPolicy(failures=1000)) as cache:
        await fails_to_clear(cache, shared)
        for number in range(3000):
            await cache.get(number, default=None)
            await anyio.sleep(0.1)

        assert 10 <= len(shared.calls_of("clear")) <= 16  # after 1, 2, 4, 8, 16, then each 30 s
        assert cache.stats.far.calls_failed["clear"] == len(shared.calls_of("clear"))
        assert shared.calls_of("get") == []
    lines = [line for line in caplog.messages if line.startswith("the far tier is not read until")]
    assert lines == ["the far tier is not read until it could be cleared: clear: ConnectionError: gone"]


async def test_a_put_does_not_wait_for_a_clear_that_is_made_again_and_stays_in_memory():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await fails_to_clear(cache, shared)
        await begins_to_clear_again(cache, shared, seconds=5.0)
        started = anyio.current_time()
        await cache.put("k2", "new")
        assert anyio.current_time() - started < 0.05
        await anyio.sleep(6.0)

        assert len(shared.calls_of("clear")) == 2
        assert cache.peek("k2") == "new"


async def test_a_clear_made_again_does_not_stand_for_one_that_failed_meanwhile():
    shared = Shared()
    async with cache_of(CountedSource({"k1": "new"}), shared) as cache:
        await fails_to_clear(cache, shared)
        await begins_to_clear_again(cache, shared, seconds=5.0)
        shared.clear = None  # the one under way will succeed, but this one is not even made
        with pytest.raises(StoreError):
            await cache.clear()
        await anyio.sleep(6.0)
        await shared.set_many({"k1": "old"})

        assert await cache.get("k1") == "new"


async def test_a_cache_that_closes_does_not_wait_for_a_clear_that_is_made_again():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await fails_to_clear(cache, shared)
        await begins_to_clear_again(cache, shared, seconds=9.0)
        started = anyio.current_time()

    assert anyio.current_time() - started < 0.1


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, leases=st.booleans())
async def test_whatever_becomes_of_clears_no_get_after_a_change_reads_what_was_before(steps, leases):
    shared, rows = Shared(), {"a": 0, "b": 0}
    ended, wrong = dict(rows), []
    shared.delays["set"] = shared.delays["delete"] = 0.5

    async def change(rows, call, *args):
        with suppress(StoreError):  # then it holds in this process all the same
            await call(*args)
        ended.update((key, max(ended[key], version)) for key, version in rows.items())

    async def get(key):
        least = ended[key]
        found = await cache.get(key)
        if found < least:
            wrong.append((key, found, least))

    parts = {"leases": Leases(shared)} if leases else {}
    async with (
        cache_of(CountedSource(rows), shared, timeout=9.0, **parts) as cache,
        anyio.create_task_group() as tasks,
    ):
        for step, which in steps:
            if step == "pause":
                await anyio.sleep(2.0)
            elif step == "get":
                tasks.start_soon(get, which)
            elif step == "evict":
                if cache.stats.size:
                    cache.evict_oldest()
            elif step == "clears":
                shared.errors = {"clear": GONE} if which == "fail" else {}
                shared.delays["clear"] = 3.0 if which == "last" else 0.0
            else:
                now = {key: version + 1 for key, version in rows.items() if which in {None, key}}
                rows.update(now)
                args = {"clear": (), "invalidate": (which,), "put": (which, rows.get(which))}[step]
                tasks.start_soon(change, now, getattr(cache, step), *args)
            await anyio.lowlevel.checkpoint()
        await anyio.sleep(60.0)
        await cache.settle()
        tasks.start_soon(get, "a")
        tasks.start_soon(get, "b")
    assert wrong == []
