"""Orders to a running cache: what each does, and what it does not do to those who read."""

from __future__ import annotations

import logging

import anyio.lowlevel
import pytest
from anyio import create_task_group, current_time, sleep, wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CacheClosedError,
    ConfigurationError,
    FarTier,
    FreshnessPolicy,
    HistoryPolicy,
    MappingSource,
    ReadinessState,
    Status,
)
from async_backfill.contracts import Heats
from async_backfill.events import ControlChanged
from async_backfill.testing import GatedSource, MemoryFarStore
from tests.callers import PENDING, run, start

pytestmark = pytest.mark.anyio

ROWS = {number: -number for number in range(200)}
BY_ADA = {"by": "ada", "reason": "the source suffers"}
AT_EVERY_MISS = {"miss_threshold": 0.01, "backfill": BackfillPolicy(inline=True, min_lookups=1)}


def cache_of(source, **options):
    return BackfillCache(source, scan=MappingSource(ROWS), clock=current_time, **(AT_EVERY_MISS | options))


def statuses(cache):
    return [record.status for record in cache.audit_log]


class Calls(MappingSource):
    def __init__(self, rows=ROWS):
        super().__init__(rows)
        self.calls = []

    async def load_many(self, keys):
        self.calls.append((current_time(), tuple(keys)))
        await anyio.lowlevel.checkpoint()
        return await super().load_many(keys)


async def test_while_paused_no_backfill_starts_and_misses_are_loaded():
    async with cache_of(Calls(), max_backfills=5) as cache:
        await cache.control.pause(**BY_ADA)
        assert [await cache.get(key) for key in range(5)] == [0, -1, -2, -3, -4]

        assert statuses(cache) == [Status.CONTROL, Status.SKIPPED]
        skipped = cache.audit_log[-1]
        assert (skipped.repeats, skipped.reason) == (5, "backfills were paused by ada: the source suffers")
        assert (cache.control.status.is_paused, cache.control.status.permits_left) == (True, 5)
        await cache.control.resume(by="bob", reason="it is well")
        await cache.get(6)
        assert statuses(cache)[2:] == [Status.CONTROL, Status.STARTED, Status.COMPLETED]


async def test_a_person_forces_a_backfill_although_they_are_paused():
    async with cache_of(Calls()) as cache:
        await cache.control.pause(**BY_ADA)
        record = await cache.force_backfill(by="bob", reason="for the demo")
        assert (record.status, record.loaded) == (Status.COMPLETED, 10)


async def test_a_backfill_that_selects_when_they_are_paused_does_not_load():
    class SlowScan(MappingSource):
        async def scan(self, cursor, limit):
            await sleep(5.0)
            return await super().scan(cursor, limit)

    source = Calls()
    policy = BackfillPolicy(min_lookups=1)
    async with BackfillCache(
        source, scan=SlowScan(ROWS), max_backfills=1, miss_threshold=0.01, backfill=policy
    ) as cache:
        await cache.get(1)
        await sleep(1.0)
        await cache.control.pause(**BY_ADA)
        await cache.settle()
        assert [keys for _, keys in source.calls] == [(1,)]
        assert (cache.audit_log[-1].status, cache.stats.permits_left) == (Status.SKIPPED, 1)


async def test_keys_that_follow_a_miss_do_not_come_with_it_while_paused():
    source = Calls()
    policy = BackfillPolicy(successors=2, min_lookups=100_000)
    async with BackfillCache(source, capacity=100, backfill=policy) as cache:
        for key in (1, 2, 3):
            await cache.get(key)
        await cache.clear()
        await cache.control.pause(**BY_ADA)
        source.calls.clear()
        await cache.get(1)
        assert [keys for _, keys in source.calls] == [(1,)]


async def test_a_cancelled_backfill_ends_and_what_callers_wait_for_goes_on():
    source = GatedSource(ROWS)
    async with (
        cache_of(source, max_backfills=2, backfill_batch=20, backfill=BackfillPolicy(min_lookups=1)) as cache,
        create_task_group() as tasks,
    ):
        miss = start(tasks, cache.get, 100)
        await wait_all_tasks_blocked()
        joined = start(tasks, cache.get, 5)  # which the backfill loads
        await wait_all_tasks_blocked()
        running = cache.control.status.running
        assert (running.number, running.keys, running.loaded, running.cause) == (1, 20, 0, "threshold")

        assert await cache.control.cancel(**BY_ADA) is True
        assert cache.control.status.running is None
        record = cache.audit_log[-2] if cache.audit_log[-1].status is Status.CONTROL else cache.audit_log[-1]
        assert (record.status, record.by, record.reason) == (Status.CANCELLED, "ada", "the source suffers")
        assert (joined.outcome, miss.outcome) == (PENDING, PENDING)
        source.open()
        await wait_all_tasks_blocked()
        assert (joined.outcome, miss.outcome, len(source.calls)) == (-5, -100, 2)
        assert cache.stats.permits_left == 1


async def test_a_cancelled_backfill_that_nobody_waits_for_ends_its_source_call():
    ended = []

    class Slow(MappingSource):
        async def load_many(self, keys):
            try:
                await sleep(100.0 if len(keys) > 1 else 0.0)
            except BaseException:
                ended.append(tuple(keys))
                raise
            return await super().load_many(keys)

    async with cache_of(Slow(ROWS), backfill=BackfillPolicy(min_lookups=1)) as cache:
        await cache.get(100)
        await wait_all_tasks_blocked()
        begun = current_time()
        assert await cache.control.cancel(**BY_ADA) is True
        await wait_all_tasks_blocked()
        assert (ended, current_time() - begun) == ([tuple(range(10))], 0.0)
        assert await cache.get(3) == -3
        assert await cache.control.cancel(**BY_ADA) is True  # of the miss before
        assert await cache.control.cancel(**BY_ADA) is False


async def test_what_a_cancelled_backfill_has_loaded_stays():
    async with cache_of(Calls(), backfill_batch=100, backfill=BackfillPolicy(min_lookups=1)) as cache:
        await cache.control.retune(rate=4.0, **BY_ADA)
        await cache.get(199)
        await sleep(2.1)  # a key every quarter of a second
        running = cache.control.status.running
        assert await cache.control.cancel(**BY_ADA) is True
        assert running.loaded == 9
        assert len(cache) == 10
        cancelled = next(record for record in cache.audit_log if record.status is Status.CANCELLED)
        assert (cancelled.loaded, cancelled.keys) == (9, 100)


async def test_a_cancelled_selection_is_a_skipped_backfill():
    class EndlessScan(MappingSource):
        async def scan(self, cursor, limit):
            await sleep(1000.0)
            return await super().scan(cursor, limit)

    policy = BackfillPolicy(min_lookups=1)
    async with (
        BackfillCache(Calls(), scan=EndlessScan(ROWS), miss_threshold=0.01, backfill=policy) as cache,
        create_task_group() as tasks,
    ):
        forced = start(tasks, lambda: cache.force_backfill(by="bob", reason="demo"))
        await wait_all_tasks_blocked()
        await cache.control.cancel(**BY_ADA)
        await wait_all_tasks_blocked()
        assert (forced.outcome.status, forced.outcome.reason) == (
            Status.SKIPPED,
            "cancelled by ada: the source suffers",
        )


async def test_permits_are_taken_back():
    async with cache_of(Calls(), max_backfills=5) as cache:
        assert await cache.control.revoke(2, **BY_ADA) == 2
        assert cache.control.status.permits_left == 3
        assert await cache.control.revoke(**BY_ADA) == 3
        assert cache.control.status.needs_approval
        assert await cache.control.revoke(7, **BY_ADA) == 0
        record = await cache.control.approve(4, **BY_ADA)
        assert (record.status, record.permits_left, record.details) == (Status.APPROVED, 4, "permits=4")


async def test_without_a_limit_there_are_no_permits_to_take_back():
    async with cache_of(Calls()) as cache:
        with pytest.raises(ConfigurationError, match="there is no limit"):
            await cache.control.revoke(**BY_ADA)
        assert cache.audit_log == ()


async def test_while_off_each_read_goes_to_the_source_and_nothing_is_kept():
    source = Calls()
    async with BackfillCache(source) as cache:
        await cache.get_many([1, 2])
        await cache.control.off(**BY_ADA)
        source.calls.clear()
        assert (len(cache), 1 in cache, cache.peek(1)) == (0, False, None)
        assert (await cache.get(1), await cache.get(1), await cache.fetch(2)) == (-1, -1, -2)
        assert await cache.get_many([1, 2]) == {1: -1, 2: -2}
        assert await cache.refresh(3) == -3
        await cache.put(4, "new")

        assert [keys for _, keys in source.calls] == [(1,), (1,), (2,), (1, 2), (3,)]
        assert len(cache) == 0
        await cache.control.on(**BY_ADA)
        assert (await cache.get(4), await cache.get(4)) == (-4, -4)
        assert [keys for _, keys in source.calls if 4 in keys] == [(4,)]


async def test_a_stampede_on_a_cache_that_is_off_is_one_load():
    source = GatedSource(ROWS)
    async with cache_of(source) as cache, create_task_group() as tasks:
        await cache.control.off(**BY_ADA)
        callers = [start(tasks, cache.get, 1) for _ in range(100)]
        await wait_all_tasks_blocked()
        source.open()
        await sleep(1.0)
        assert [caller.outcome for caller in callers] == [-1] * 100
        assert source.calls == [(1,)]


async def test_no_backfill_is_forced_while_off_and_the_one_that_runs_is_ended():
    policy = BackfillPolicy(min_lookups=1)
    async with cache_of(GatedSource(ROWS), backfill=policy) as cache, create_task_group() as tasks:
        tasks.start_soon(cache.get, 100)
        await wait_all_tasks_blocked()
        await cache.control.off(**BY_ADA)
        assert Status.CANCELLED in statuses(cache)
        with pytest.raises(ConfigurationError, match="turned off by ada"):
            await cache.force_backfill(by="bob", reason="demo")
        tasks.cancel_scope.cancel()


async def test_a_load_from_before_off_is_not_kept_and_not_joined():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        before = start(tasks, cache.get, 1)
        await wait_all_tasks_blocked()
        await cache.control.off(**BY_ADA)
        after = start(tasks, cache.get, 1)
        await wait_all_tasks_blocked()
        source.open()
        await wait_all_tasks_blocked()
        assert (before.outcome, after.outcome, source.calls, len(cache)) == (-1, -1, [(1,), (1,)], 0)


async def test_off_and_on_leave_what_the_far_tier_has_and_a_clear_meanwhile_does_not():
    source, store = Calls(), MemoryFarStore()
    async with BackfillCache(source, far=FarTier(store=store)) as cache:
        for clears in (False, True):
            await cache.get(1)
            await cache.settle()
            await cache.control.off(**BY_ADA)
            if clears:
                await cache.clear()
            await cache.control.on(**BY_ADA)
            source.calls.clear()
            await cache.get(1)
            assert bool(source.calls) is clears


async def test_while_off_the_far_tier_is_not_read_and_a_put_removes_its_copy():
    store = MemoryFarStore()
    far = FarTier(store=store)
    async with BackfillCache(Calls(), far=far) as cache:
        await cache.put_many({1: "far", 2: "far"})
        await cache.control.off(**BY_ADA)
        assert await cache.get_many([1, 2]) == {1: -1, 2: -2}
        await cache.put(1, "newer")
        await cache.invalidate(2)
        await cache.get(3)
        await cache.settle()
        await cache.control.on(**BY_ADA)
        assert await cache.get_many([1, 2]) == {1: -1, 2: -2}
        await cache.settle()
    async with BackfillCache(MappingSource({}), far=far) as other:
        assert await other.get_many([1, 2, 3]) == {1: -1, 2: -2}


async def test_what_was_ordered_stands_when_the_cache_is_opened_again():
    source = Calls()
    cache = BackfillCache(source)
    async with cache:
        await cache.control.off(**BY_ADA)
    async with cache:
        assert await cache.get(1) == await cache.get(1) == -1
        assert (len(source.calls), cache.control.status.is_off) == (2, True)
        await cache.control.on(**BY_ADA)
        await cache.get(1)
        assert await cache.get(1) == -1
        assert len([1 for _, keys in source.calls if keys == (1,)]) == 3


async def test_a_new_threshold_counts_for_the_next_miss():
    async with cache_of(Calls(), miss_threshold=1.0, backfill=BackfillPolicy(min_lookups=2)) as cache:
        await cache.put_many({key: key for key in range(50)})
        await cache.get_many(range(51))
        assert statuses(cache) == []
        await cache.control.retune(threshold=0.02, **BY_ADA)
        await cache.get(60)
        await cache.settle()
        assert Status.STARTED in statuses(cache)
        await cache.control.retune(threshold=None, **BY_ADA)
        assert cache.control.status.threshold == 1.0


async def test_a_new_batch_counts_for_the_next_backfill():
    async with cache_of(Calls(), backfill_batch=5) as cache:
        await cache.control.retune(batch=7, **BY_ADA)
        assert (await cache.force_backfill()).keys == 7
        await cache.control.retune(batch=None, **BY_ADA)
        assert (await cache.force_backfill()).keys == 5


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_the_rate_bounds_the_keys_a_second_of_all_backfills():
    source = Calls()
    async with cache_of(source, backfill_batch=50) as cache:
        await cache.control.retune(rate=20.0, **BY_ADA)
        await cache.force_backfill()
        asked = [(time, len(keys)) for time, keys in source.calls]
        begun = asked[0][0]
        assert sum(keys for _, keys in asked) == 50
        for time, _ in asked:
            so_far = sum(keys for when, keys in asked if when <= time)
            assert so_far <= 20.0 * (time - begun) + 5


async def test_a_higher_rate_wakes_a_backfill_that_waits_for_its_turn():
    async with cache_of(Calls(), backfill_batch=10, backfill=BackfillPolicy(min_lookups=1)) as cache:
        await cache.control.retune(rate=0.01, **BY_ADA)
        await cache.get(100)
        await sleep(1.0)
        begun = current_time()
        await cache.control.retune(rate=None, **BY_ADA)
        await cache.settle()
        assert (current_time() - begun, cache.audit_log[-1].loaded) == (0.0, 10)


@pytest.mark.parametrize(
    ("tunings", "problem"),
    [
        ({}, "nothing to change"),
        ({"threshold": 0.0}, "not between 0.01 and 1.0"),
        ({"threshold": "0.5"}, "not a number"),
        ({"batch": 0}, "less than 1"),
        ({"batch": True}, "not a whole number"),
        ({"rate": 0.0}, "not between"),
        ({"rate": float("nan")}, "not between"),
    ],
)
async def test_a_wrong_tuning_changes_nothing(tunings, problem):
    async with cache_of(Calls()) as cache:
        before = cache.control.status
        with pytest.raises(ConfigurationError, match=problem):
            await cache.control.retune(**{"rate": 5.0} | tunings if tunings else {}, **BY_ADA)
        assert (cache.control.status, cache.audit_log) == (before, ())


async def test_a_cache_with_a_trigger_of_its_own_has_no_threshold_to_change():
    class Never:
        def observe_miss(self, _):
            return False

        def reading(self):
            return 0, 0

    async with BackfillCache(Calls(), scan=MappingSource(ROWS), trigger=Never()) as cache:
        with pytest.raises(ConfigurationError, match="a trigger of its own"):
            await cache.control.retune(threshold=0.5, **BY_ADA)


VERBS = {
    "pause": lambda control, **who: control.pause(**who),
    "resume": lambda control, **who: control.resume(**who),
    "cancel": lambda control, **who: control.cancel(**who),
    "approve": lambda control, **who: control.approve(1, **who),
    "revoke": lambda control, **who: control.revoke(1, **who),
    "off": lambda control, **who: control.off(**who),
    "on": lambda control, **who: control.on(**who),
    "invalidate": lambda control, **who: control.invalidate("k", **who),
    "retune": lambda control, **who: control.retune(rate=5, **who),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_each_order_is_audited_told_and_logged_once_with_who_and_why(verb, caplog):
    told = []
    caplog.set_level(logging.INFO)
    async with cache_of(Calls(), max_backfills=3, observers=[told.append], name="products") as cache:
        await VERBS[verb](cache.control, **BY_ADA)
        (record,) = cache.audit_log
        assert (record.verb, record.by, record.reason) == (verb, *BY_ADA.values())
        (event,) = [event for event in told if isinstance(event, ControlChanged)]
        assert (event.cache, event.order.verb, event.order.by, event.elsewhere) == (
            "products",
            verb,
            "ada",
            False,
        )
        assert len([line for line in caplog.records if getattr(line, "by", None) == "ada"]) == 1
        assert cache.control.status.orders[verb].reason == "the source suffers"


@pytest.mark.parametrize("verb", VERBS)
async def test_an_order_without_a_name_or_a_reason_does_nothing(verb):
    async with cache_of(Calls(), max_backfills=3) as cache:
        before = cache.control.status
        for who in ({"by": " ", "reason": "why"}, {"by": "ada", "reason": ""}, {"by": None, "reason": "why"}):
            with pytest.raises(ConfigurationError, match="not blank"):
                await VERBS[verb](cache.control, **who)
        assert (cache.control.status, cache.audit_log) == (before, ())


@pytest.mark.parametrize("verb", VERBS)
async def test_a_closed_cache_takes_no_order(verb):
    cache = cache_of(Calls(), max_backfills=3)
    with pytest.raises(CacheClosedError):
        await VERBS[verb](cache.control, **BY_ADA)
    assert cache.control.status.orders == {}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["off", "on", "clear"]), st.none()),
            st.tuples(st.sampled_from(["get", "put", "change", "invalidate"]), st.integers(0, 3)),
        ),
        max_size=30,
    ),
    st.booleans(),
)
def test_after_any_course_of_off_and_on_no_value_is_older_than_its_last_change(steps, has_ttl):
    async def course():
        rows = dict.fromkeys(range(4), 0)
        freshness = FreshnessPolicy(ttl=1000.0) if has_ttl else None
        async with BackfillCache(
            MappingSource(rows), freshness=freshness, far=FarTier(store=MemoryFarStore())
        ) as cache:
            for step, key in steps:
                match step:
                    case "off" | "on":
                        await getattr(cache.control, step)(**BY_ADA)
                    case "clear":
                        await cache.clear()
                    case "get":
                        assert await cache.get(key) == rows[key]
                    case "put":
                        rows[key] += 1
                        await cache.put(key, rows[key])
                    case "change" | "invalidate":
                        rows[key] += 1
                        await cache.invalidate(key)
                if cache.control.status.is_off:
                    assert len(cache) == 0

    run(course, "asyncio")


async def test_explaining_a_key_touches_nothing():
    source, told = Calls(), []
    async with BackfillCache(source, capacity=2, eviction="lru", observers=[told.append]) as cache:
        await cache.put_many({1: "a", 2: "b"})
        before = cache.stats
        explained = await cache.control.explain(1)
        assert (explained.where, explained.is_fresh, explained.loaded_by) == ("memory", True, "put")
        assert (await cache.control.explain(3)).where == "nowhere"
        assert (cache.stats, source.calls, len(told)) == (before, [], 1)
        assert cache.evict_oldest() == 1


async def test_a_key_whose_text_raises_is_removed_and_audited_nevertheless():
    class Wordless(int):
        def __repr__(self):
            raise ValueError("no text")

    key = Wordless(7)
    async with BackfillCache(MappingSource({})) as cache:
        await cache.put(key, "a")
        await cache.control.invalidate(key, **BY_ADA)

        assert cache.peek(key) is None
        assert cache.audit_log[-1].details == "key=a Wordless (its repr raises ValueError)"


async def test_what_off_has_emptied_was_not_removed_key_by_key():
    async with BackfillCache(MappingSource({}), observers=[lambda _: None]) as cache:
        await cache.put(1, "a")
        await cache.invalidate(1)
        await cache.put(1, "b")
        await cache.control.off(**BY_ADA)
        await cache.control.on(**BY_ADA)

        assert (await cache.control.explain(1)).left_because is None


async def test_an_explanation_says_what_observers_were_told_of_the_key():
    source = Calls()
    freshness = FreshnessPolicy(ttl=100.0)
    options = {"capacity": 3, "freshness": freshness, "observers": [lambda _: None], "clock": current_time}
    async with BackfillCache(source, **options) as cache:
        explain = cache.control.explain
        await cache.get(1)
        await sleep(2.0)
        assert ((await explain(1)).loaded_by, (await explain(1)).age) == ("miss", pytest.approx(2.0))
        await cache.refresh(1)
        assert ((await explain(1)).loaded_by, (await explain(1)).age) == ("refresh", 0.0)
        await cache.put_many({2: 2, 3: 3, 4: 4})
        await sleep(5.0)
        assert ((await explain(1)).left_because, (await explain(1)).left_ago) == ("evicted", 5.0)
        await cache.invalidate(2)
        assert ((await explain(2)).left_because, (await explain(2)).loaded_by) == ("invalidated", None)
        assert (await explain(99)).left_because is None


async def test_a_put_during_a_load_is_what_brought_the_value():
    source = GatedSource(ROWS)
    options = {"observers": [lambda _: None], "clock": current_time}
    async with BackfillCache(source, **options) as cache, create_task_group() as tasks:
        start(tasks, cache.get, 1)
        await wait_all_tasks_blocked()
        await sleep(1.0)
        await cache.put(1, "put")
        source.open()
        await wait_all_tasks_blocked()
        assert (cache.peek(1), (await cache.control.explain(1)).loaded_by) == ("put", "put")


async def test_an_explanation_asks_the_far_tier_and_says_when_it_fails():
    store = MemoryFarStore()
    async with BackfillCache(Calls(), far=FarTier(store=store, timeout=1.0)) as cache:
        await cache.get(1)
        await cache.settle()
        await sleep(3.0)
        told = await cache.control.explain(1)
        assert (told.where, told.far_age, told.far_failed) == (
            "memory and far tier",
            pytest.approx(3.0),
            None,
        )
        store.link.latency = 1000.0
        before = cache.stats
        told = await cache.control.explain(1)
        assert (told.where, told.far_failed) == ("memory", "no answer within 1.0 s")
        assert cache.stats == before


async def test_an_explanation_says_how_old_a_value_is_and_when_it_expires():
    freshness = FreshnessPolicy(ttl=10.0, stale_for=100.0, jitter=0.0)
    async with cache_of(Calls(), freshness=freshness, backfill=BackfillPolicy(min_lookups=9999)) as cache:
        await cache.get(1)
        await sleep(4.0)
        told = await cache.control.explain(1)
        assert (told.is_fresh, told.expires_in) == (True, pytest.approx(6.0))
        await sleep(8.0)
        told = await cache.control.explain(1)
        assert (told.is_fresh, told.expires_in) == (False, pytest.approx(-2.0))


async def test_an_explanation_says_whether_a_key_is_loading_and_how_hot_it_is():
    source = GatedSource(ROWS)
    policy = BackfillPolicy(selection="history", min_lookups=9999)
    async with cache_of(source, backfill=policy, capacity=100, history=HistoryPolicy()) as cache:
        async with create_task_group() as tasks:
            tasks.start_soon(cache.get, 1)
            await wait_all_tasks_blocked()
            assert (await cache.control.explain(1)).is_loading
            source.open()
        assert (await cache.control.explain(1)).heat == pytest.approx(1.0)
        await cache.invalidate(1)
        told = await cache.control.explain(1)
        assert (told.where, told.left_because) == ("nowhere", "invalidated")


async def test_a_cache_that_is_warmed_gives_up_while_paused_and_goes_on_when_resumed():
    policy = BackfillPolicy(selection="history", min_lookups=9999)
    hot = Heats(keys=dict.fromkeys(range(20), 5.0), hit_rate=0.9)

    class Remembered:
        async def load(self):
            return hot

        async def save(self, _):
            pass

    source = Calls()
    async with BackfillCache(
        source, scan=MappingSource(ROWS), backfill=policy, journal=Remembered(), capacity=50
    ) as cache:
        await cache.control.pause(**BY_ADA)
        await cache.ready()
        assert cache.readiness.state is ReadinessState.GAVE_UP
        assert "backfills were paused by ada: the source suffers" in cache.readiness.reason
        assert source.calls == []
        await cache.control.resume(**BY_ADA)
        await sleep(10.0)
        assert (cache.readiness.state, len(cache)) == (ReadinessState.READY, 20)
