"""Backfills end to end: when they run, what they may load, who pays for them, and what is kept of them."""

from __future__ import annotations

import contextvars
import json
from contextlib import asynccontextmanager

import pytest
from anyio import (
    create_task_group,
    current_time,
    fail_after,
    move_on_after,
    sleep,
    sleep_forever,
    wait_all_tasks_blocked,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillCache,
    BackfillCause,
    BackfillPolicy,
    BudgetState,
    CacheClosedError,
    CircuitPolicy,
    ConfigurationError,
    LoadError,
    LoadPolicy,
    MappingSource,
    MemoryStore,
    Status,
)
from async_backfill.events import BackfillAudited, KeysEvicted, LoadFinished
from async_backfill.outcomes import LoadCause
from async_backfill.testing import GatedSource
from tests.callers import PENDING, leaked_cancellation, start

pytestmark = pytest.mark.anyio

ROWS = {key: key.upper() for key in "abcdef"}
AT_EVERY_MISS = {"miss_threshold": 0.01, "backfill": BackfillPolicy(inline=True, min_lookups=1)}


class Source(MappingSource):
    """A source that remembers its calls, with a scan that raises ``scan_error`` after ``scan_pause``."""

    def __init__(self, rows):
        super().__init__(rows)
        self.calls = []
        self.pages = 0
        self.error = None
        self.scan_error = None
        self.scan_pause = 0.0

    async def load_many(self, keys):
        self.calls.append(keys)
        if self.error is not None:
            raise self.error
        return await super().load_many(keys)

    async def scan(self, cursor, limit):
        self.pages += 1
        await sleep(self.scan_pause)
        if self.scan_error is not None:
            raise self.scan_error
        return await super().scan(cursor, limit)


class Sink:
    """Keeps every record it is given, unless ``error`` is set; each write takes ``pause`` seconds."""

    def __init__(self):
        self.records = {}
        self.error = None
        self.pause = 0.0

    async def write(self, records):
        await sleep(self.pause)
        if self.error is not None:
            raise self.error
        self.records.update((record.number, record) for record in records)


def scanned(source=None, **options):
    source = Source(ROWS) if source is None else source
    return BackfillCache(source, scan=source, **options), source


@asynccontextmanager
async def gated(rows=None, **options):
    """Open a cache on a source whose loads wait, and a task group for its callers."""
    rows = ROWS if rows is None else rows
    source = GatedSource(rows)
    ran_to_its_end = False
    with fail_after(1e6):
        async with create_task_group() as tasks:
            async with BackfillCache(source, scan=MappingSource(rows), **options) as cache:
                yield cache, source, tasks
                ran_to_its_end = True
                await end(cache, source)
            tasks.cancel_scope.cancel()
    assert ran_to_its_end, "something cancelled the tasks and with them the test"


async def begin(tasks, call, *args):
    caller = start(tasks, call, *args)
    await wait_all_tasks_blocked()
    return caller


async def end(cache, source):
    source.open()
    await cache.settle()
    await wait_all_tasks_blocked()


def statuses(cache):
    return [record.status.value for record in cache.audit_log]


# when


async def test_a_backfill_starts_when_the_miss_rate_reaches_the_threshold_not_before():
    cache, source = scanned(miss_threshold=0.5, backfill_batch=2)
    async with cache:
        await cache.put_many({"x": 0, "y": 0})
        for key in ("x", "y", "c"):
            await cache.get(key)
        await cache.settle()
        assert (statuses(cache), source.calls) == ([], [("c",)])
        await cache.get("d")
        await cache.settle()

        assert source.calls == [("c",), ("d",), ("a", "b")]
        started, completed = cache.audit_log
        assert (started.status, completed.status) == (Status.STARTED, Status.COMPLETED)
        assert (started.window_misses, started.window_lookups, started.lookup) == (2, 4, 4)
        assert await cache.get_many("abcd") == {key: key.upper() for key in "abcd"}
        assert len(source.calls) == 3


async def test_the_window_and_the_least_lookups_are_those_of_the_policy():
    policy = BackfillPolicy(window=4, min_lookups=4)
    cache, _ = scanned(miss_threshold=1.0, backfill=policy)
    async with cache:
        for key in ("x", "y", "z"):
            await cache.get(key)
        await cache.put("p", 0)
        for key in ("p", "x", "y", "z"):
            await cache.get(key)
        assert statuses(cache) == []
        await cache.get("x")
        await cache.settle()

        assert statuses(cache) == ["started", "completed"]


async def test_a_trigger_of_ones_own_decides_in_place_of_the_threshold():
    class Third:
        def observe_miss(self, lookup, /):
            return lookup == 3

        def reading(self):
            return (70, 80)

    cache, _ = scanned(trigger=Third())
    async with cache:
        for key in ("x", "x"):
            await cache.get(key)
        assert statuses(cache) == []
        await cache.get("x")
        await cache.settle()

        assert (cache.audit_log[0].window_misses, cache.audit_log[0].window_lookups) == (70, 80)


async def test_misses_without_a_scan_backfill_nothing():
    source = Source(ROWS)
    async with BackfillCache(source, **AT_EVERY_MISS) as cache:
        for key in "abxyz":
            await cache.get(key)

        assert (statuses(cache), cache.stats.backfills_skipped, source.pages) == ([], 0, 0)


async def test_a_get_many_of_many_misses_offers_one_backfill():
    cache, source = scanned(**AT_EVERY_MISS, backfill_batch=1)
    async with cache:
        await cache.get_many(["u", "v", "w", "x"])

        assert source.calls == [("a",), ("u", "v", "w", "x")]
        assert cache.stats.backfills == 1


async def test_an_empty_source_is_never_backfilled_and_every_lookup_is_absent():
    cache, source = scanned(Source({}), **AT_EVERY_MISS, max_backfills=2)
    async with cache:
        assert [await cache.get(key, "absent") for key in "aab"] == ["absent"] * 3
        assert (await cache.force_backfill()).status is Status.SKIPPED

        stats = cache.stats
        assert (stats.backfills, stats.permits_left, stats.backfills_skipped) == (0, 2, 4)
        assert (stats.absent, stats.miss_rate, stats.size) == (3, 1.0, 0)
        assert len(source.calls) == 3


async def test_a_backfill_belongs_to_no_caller():
    request = contextvars.ContextVar("request", default=None)
    seen = []

    class Seeing(Source):
        async def load_many(self, keys):
            seen.append(request.get())
            return await super().load_many(keys)

    cache, source = scanned(Seeing(ROWS), miss_threshold=0.01, backfill=BackfillPolicy(min_lookups=1))
    async with cache, create_task_group() as tasks:
        request.set("of the caller")
        caller = await begin(tasks, cache.get, "x")
        assert caller.outcome is None
        await cache.settle()

        assert seen == [None, None]
        assert source.calls == [("x",), tuple("abcdef")]


async def test_a_caller_who_is_cancelled_does_not_cancel_the_backfill_it_waits_for():
    async with gated(**AT_EVERY_MISS) as (cache, source, tasks):
        caller = await begin(tasks, cache.get, "a")
        caller.cancel()
        await end(cache, source)

        assert statuses(cache) == ["started", "completed"]
        assert cache.peek("f") == "F"


async def test_inline_or_in_the_background_the_same_is_loaded():
    loaded = []
    for inline in (True, False):
        policy = BackfillPolicy(inline=inline, min_lookups=1)
        cache, source = scanned(miss_threshold=0.01, backfill=policy, backfill_batch=4)
        async with cache:
            assert await cache.get("b") == "B"
            at_once = [len(source.calls), cache.stats.led, cache.stats.joined]
            await cache.settle()
            loaded.append((at_once, sorted(key for keys in source.calls for key in keys), statuses(cache)))

    assert loaded[0] == ([1, 0, 1], list("abcd"), ["started", "completed"])
    assert loaded[1] == ([1, 1, 0], list("abcde"), ["started", "completed"])


# who pays


async def test_one_permit_runs_one_of_three_backfills_and_an_approval_of_one_runs_one_more():
    cache, source = scanned(**AT_EVERY_MISS, max_backfills=1, backfill_batch=1)
    async with cache:
        for key in ("x", "y", "z"):
            await cache.get(key)
        assert statuses(cache) == ["started", "completed", "denied"]
        assert (cache.audit_log[-1].repeats, cache.stats.backfills_denied) == (2, 2)
        assert (cache.stats.backfills, cache.stats.budget) == (1, BudgetState.NEEDS_APPROVAL)

        approved = await cache.approve_backfills(1, by="ada", reason="after the deploy")
        assert (cache.stats.budget, cache.stats.permits_left) == (BudgetState.OPEN, 1)
        for key in ("x", "y", "z"):
            await cache.get(key)

        assert statuses(cache)[3:] == ["approved", "started", "completed", "denied"]
        assert (approved.by, approved.reason, approved.permits_left) == ("ada", "after the deploy", 1)
        assert (cache.stats.backfills, cache.stats.budget) == (2, BudgetState.NEEDS_APPROVAL)
        assert [keys for keys in source.calls if keys[0] in ROWS] == [("a",), ("b",)]


async def test_without_a_permit_reads_go_on():
    cache, _ = scanned(**AT_EVERY_MISS, max_backfills=0)
    async with cache:
        assert [await cache.get(key) for key in "abca"] == ["A", "B", "C", "A"]
        assert (statuses(cache), cache.stats.backfills_denied) == (["denied"], 3)


@pytest.mark.parametrize(
    ("n", "by", "reason", "setting"),
    [
        (0, "ada", "why", "n"),
        (True, "ada", "why", "n"),
        ("1", "ada", "why", "n"),
        (1, "", "why", "by"),
        (1, " ", "why", "by"),
        (1, None, "why", "by"),
        (1, "ada", "", "reason"),
        (1, "ada", None, "reason"),
    ],
)
async def test_an_approval_without_number_name_or_reason_is_refused_changing_nothing(n, by, reason, setting):
    cache, _ = scanned(max_backfills=0)
    async with cache:
        with pytest.raises(ConfigurationError) as refused:
            await cache.approve_backfills(n, by=by, reason=reason)

        assert refused.value.setting == setting
        assert (cache.audit_log, cache.stats.permits_left) == ((), 0)


async def test_where_there_is_no_limit_there_is_nothing_to_approve():
    cache, _ = scanned()
    async with cache:
        with pytest.raises(ConfigurationError, match="there are no permits; pause stops all"):
            await cache.approve_backfills(1, by="ada", reason="why")

        assert cache.audit_log == ()


async def test_a_forced_backfill_needs_no_permit_and_is_audited_as_manual():
    cache, _ = scanned(max_backfills=0, backfill_batch=2)
    async with cache:
        record = await cache.force_backfill(by="ada", reason="after the deploy")

        assert (record.status, record.cause, record.loaded) == (Status.COMPLETED, BackfillCause.MANUAL, 2)
        assert [(kept.by, kept.reason) for kept in cache.audit_log] == [("ada", "after the deploy")] * 2
        assert (cache.peek("a"), cache.stats.backfill_keys, cache.stats.lookups) == ("A", 2, 0)


async def test_a_backfill_cannot_be_forced_without_a_scan():
    async with BackfillCache(Source(ROWS)) as cache:
        with pytest.raises(ConfigurationError, match="scan"):
            await cache.force_backfill()

        assert cache.audit_log == ()


@pytest.mark.parametrize("field", ["by", "reason"])
@pytest.mark.parametrize("value", ["", 5])
async def test_who_forced_a_backfill_and_why_is_text_or_not_told(field, value):
    cache, _ = scanned()
    async with cache:
        with pytest.raises(ConfigurationError) as refused:
            await cache.force_backfill(**{field: value})

        assert refused.value.setting == field
        assert cache.audit_log == ()


async def test_one_backfill_runs_at_a_time_and_the_misses_meanwhile_start_none():
    async with gated(**AT_EVERY_MISS, backfill_batch=2) as (cache, source, tasks):
        for key in "uvw":
            await begin(tasks, cache.get, key)

        assert source.calls == [("a", "b")]
        assert statuses(cache) == ["started"]


async def test_two_backfills_run_at_a_time_where_that_is_allowed_and_share_no_key():
    policy = BackfillPolicy(min_lookups=1, concurrent=2)
    settings = {"miss_threshold": 0.01, "backfill": policy, "backfill_batch": 2}
    async with gated(**settings) as (cache, source, tasks):
        for key in "uvw":
            await begin(tasks, cache.get, key)

        assert [keys for keys in source.calls if keys[0] in ROWS] == [("a", "b"), ("c", "d")]
        assert (statuses(cache), cache.stats.backfills) == (["started"] * 2, 2)


# what it may load


async def test_a_backfill_loads_no_more_keys_than_there_is_free_room():
    cache, source = scanned(capacity=3)
    async with cache:
        await cache.put("x", 0)
        await cache.force_backfill()

        assert source.calls == [("a", "b")]
        assert (cache.stats.size, cache.stats.evictions, cache.peek("x")) == (3, 0, 0)


async def test_a_full_cache_is_not_backfilled_and_nothing_is_evicted():
    cache, source = scanned(**AT_EVERY_MISS, capacity=2, max_backfills=1)
    async with cache:
        await cache.put_many({"x": 0, "y": 0})
        await cache.get("gone")
        record = await cache.force_backfill()

        assert (record.status, statuses(cache)) == (Status.SKIPPED, ["skipped", "skipped"])
        assert (cache.stats.evictions, cache.stats.permits_left) == (0, 1)
        assert (source.calls, source.pages) == ([("gone",)], 0)


async def test_room_that_is_gone_when_the_backfill_lands_is_not_taken_by_evicting():
    async with gated(capacity=3) as (cache, source, tasks):
        await begin(tasks, cache.force_backfill)
        await cache.put_many({"x": 0, "y": 0})
        await end(cache, source)

        assert cache.stats.evictions == 0
        assert [cache.peek(key) for key in ("x", "y", "a", "b", "c")] == [0, 0, "A", None, None]


async def test_a_key_that_a_caller_waits_for_has_room_before_keys_nobody_asked_for():
    async with gated(capacity=3, backfill_batch=2) as (cache, source, tasks):
        await cache.put("x", 0)
        await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get, "b")
        await cache.put("y", 0)
        await end(cache, source)

        assert caller.outcome == "B"
        assert source.calls == [("a", "b")]
        assert [cache.peek(key) for key in ("x", "y", "b", "a")] == [0, 0, "B", None]
        assert cache.stats.evictions == 0


async def test_a_backfill_that_may_evict_loads_no_more_keys_than_the_cache_holds():
    cache, source = scanned(capacity=2, backfill=BackfillPolicy(evicts=True))
    async with cache:
        await cache.put_many({"x": 0, "y": 0})
        await cache.force_backfill()

        assert source.calls == [("a", "b")]
        assert (cache.peek("a"), cache.peek("b"), cache.peek("x")) == ("A", "B", None)
        assert (cache.stats.size, cache.stats.evictions) == (2, 2)


lookups = st.lists(st.sampled_from("abcdefxyz"), max_size=40)


@settings(deadline=None)
@given(
    keys=lookups,
    capacity=st.integers(1, 5),
    batch=st.integers(1, 8),
    evicts=st.booleans(),
    threshold=st.sampled_from([0.01, 0.5, 1.0]),
)
async def test_whatever_is_looked_up_a_backfill_evicts_only_where_it_may(
    keys, capacity, batch, evicts, threshold
):
    events = []
    cache, source = scanned(
        capacity=capacity,
        miss_threshold=threshold,
        backfill_batch=batch,
        backfill=BackfillPolicy(inline=True, evicts=evicts),
        observers=[events.append],
    )
    async with cache:
        for key in keys:
            assert await cache.get(key) == ROWS.get(key)
            assert cache.stats.size <= capacity

    evicted_by = set()
    for place, event in enumerate(events):
        if isinstance(event, KeysEvicted):
            load = next(later for later in events[place:] if isinstance(later, LoadFinished))
            evicted_by.add(load.cause)
    assert evicts or LoadCause.BACKFILL not in evicted_by
    assert all(len(asked) <= max(1, min(batch, capacity)) for asked in source.calls)


@pytest.mark.parametrize("concurrent", [1, 3])
async def test_backfills_in_the_background_never_evict_what_is_in_use(concurrent):
    rows = dict.fromkeys(range(100), 1)
    policy = BackfillPolicy(min_lookups=1, concurrent=concurrent)
    source = Source(rows)
    cache = BackfillCache(source, scan=source, capacity=50, miss_threshold=0.01, backfill=policy)
    async with cache:
        for number in range(40):
            await cache.put(f"in use {number}", number)
        for key in range(200, 220):
            await cache.get(key)
        await cache.settle()

        assert all(cache.peek(f"in use {number}") == number for number in range(40))
        assert (cache.stats.size, cache.stats.evictions) == (50, 0)


@pytest.mark.parametrize(
    ("write", "left"),
    [
        (lambda cache: cache.put("a", "newer"), {"a": "newer", "b": "B"}),
        (lambda cache: cache.invalidate("a"), {"b": "B"}),
        (lambda cache: cache.clear(), {}),
    ],
    ids=["put", "invalidate", "clear"],
)
async def test_a_backfill_never_replaces_or_brings_back_what_was_written_during_it(write, left):
    async with gated(rows={"a": "A", "b": "B"}) as (cache, source, tasks):
        forced = await begin(tasks, cache.force_backfill)
        await write(cache)
        await end(cache, source)

        assert {key: cache.peek(key) for key in "ab" if cache.peek(key)} == left
        assert forced.outcome.status is Status.COMPLETED


async def test_a_key_that_was_removed_during_a_backfill_is_backfilled_by_the_next_one():
    async with gated(rows={"a": "A", "b": "B"}) as (cache, source, tasks):
        await begin(tasks, cache.force_backfill)
        await cache.invalidate("a")
        await end(cache, source)
        await cache.force_backfill()

        assert source.calls == [("a", "b"), ("a",)]
        assert cache.peek("a") == "A"


async def test_a_key_whose_load_a_caller_took_over_in_vain_is_backfilled_by_the_next_one():
    async with gated(rows={"a": "A", "b": "B"}, load=LoadPolicy(concurrency=1)) as (cache, source, tasks):
        await begin(tasks, cache.get, "gone")
        await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get, "b")
        source.release()
        await wait_all_tasks_blocked()
        source.release(ConnectionError("down"))
        await wait_all_tasks_blocked()
        assert isinstance(caller.outcome, LoadError)
        await end(cache, source)
        await cache.force_backfill()

        assert source.calls == [("gone",), ("b",), ("a",), ("b",)]


# what goes wrong


async def test_a_failed_backfill_is_a_record_an_event_a_count_and_nobodys_exception():
    events = []
    cache, source = scanned(**AT_EVERY_MISS, max_backfills=5, observers=[events.append])
    async with cache:
        source.error = ConnectionError("down")
        with pytest.raises(LoadError):
            await cache.get("a")
        source.error = None
        assert await cache.get("a") == "A"

        assert statuses(cache) == ["started", "failed", "started", "completed"]
        failed = cache.audit_log[1]
        assert (failed.error, failed.loaded, failed.permits_left) == ("ConnectionError: down", 0, 4)
        assert failed in [event.record for event in events if isinstance(event, BackfillAudited)]
        assert (cache.stats.backfills_failed, cache.stats.permits_left) == (1, 3)


async def test_a_backfill_that_fails_while_reads_succeed_is_noticed_by_no_caller():
    class FailingInBulk(Source):
        async def load_many(self, keys):
            if len(keys) > 1:
                raise ConnectionError("too much at once")
            return await super().load_many(keys)

    cache, _ = scanned(FailingInBulk(ROWS), **AT_EVERY_MISS)
    async with cache:
        assert [await cache.get(key) for key in "abc"] == ["A", "B", "C"]
        assert statuses(cache) == ["started", "failed"] * 3
        assert cache.stats.failed == 0


async def test_a_scan_that_fails_costs_one_permit_and_no_caller_notices():
    cache, source = scanned(**AT_EVERY_MISS, max_backfills=2)
    async with cache:
        source.scan_error = OSError("disk gone")
        for key in "abc":
            assert await cache.get(key) == key.upper()
            await sleep(2.0)

        assert statuses(cache) == ["failed", "failed", "denied"]
        assert (cache.stats.backfills, cache.stats.backfills_failed) == (2, 2)
        assert (cache.stats.scans, cache.stats.scans_failed, cache.stats.scanned_keys) == (2, 2, 0)
        assert cache.stats.budget is BudgetState.NEEDS_APPROVAL


async def test_without_a_permit_nothing_is_listed_however_often_keys_are_removed():
    rows = {number: number for number in range(5000)}
    cache, _ = scanned(Source(rows), **AT_EVERY_MISS, max_backfills=0)
    async with cache:
        await cache.get_many(range(5000))
        for key in range(200):
            await cache.invalidate(key)
            await cache.get(key)

        assert (cache.stats.scans, cache.stats.scanned_keys) == (0, 0)


async def test_the_keys_listed_are_few_beside_the_keys_loaded_also_after_removals():
    rows = {number: number for number in range(5000)}
    cache, _ = scanned(Source(rows), **AT_EVERY_MISS, backfill_batch=100)
    async with cache:
        for key in range(4999, -1, -1):
            await cache.get(key)
        loaded = cache.stats.backfill_keys
        for key in range(200):
            await cache.invalidate(key)
            await cache.get(5001)

        assert cache.stats.backfill_keys == loaded + 200
        assert cache.stats.scanned_keys <= 5000 + 2 * 200


async def test_a_failing_scan_is_asked_at_few_of_a_thousand_misses():
    cache, source = scanned(**AT_EVERY_MISS)
    async with cache:
        source.scan_error = OSError("disk gone")
        for number in range(1000):
            await cache.get(number)

        assert (source.pages, cache.stats.backfills) == (1, 1)


async def test_nothing_is_scanned_while_the_circuit_is_open():
    load = LoadPolicy(circuit=CircuitPolicy(failures=1, open_for=1e6))
    cache, source = scanned(**AT_EVERY_MISS, load=load)
    async with cache:
        await cache.get("x")
        pages, source.error = source.pages, ConnectionError("down")
        for key in ("y", "z"):
            await cache.clear()
            with pytest.raises(LoadError):
                await cache.get(key)

        assert cache.stats.circuit == "open"
        assert source.pages == pages


async def test_a_scan_that_hangs_is_given_up_after_the_timeout_and_costs_one_permit():
    policy = BackfillPolicy(min_lookups=1)
    cache, source = scanned(
        miss_threshold=0.01, backfill=policy, max_backfills=2, load=LoadPolicy(timeout=7.0)
    )
    async with cache:
        source.scan_pause = 1e6
        began = current_time()
        assert await cache.get("a") == "A"
        assert current_time() == began
        await cache.settle()

        assert current_time() - began == pytest.approx(7.0)
        assert (statuses(cache), cache.stats.permits_left) == (["failed"], 1)
        assert cache.audit_log[0].error == "TimeoutError: the selection took longer than 7.0 s"


async def test_a_load_of_a_backfill_that_hangs_is_given_up_after_the_timeout():
    async with gated(load=LoadPolicy(timeout=7.0)) as (cache, source, _):
        record = await cache.force_backfill()

        assert (record.status, source.cancelled) == (Status.FAILED, [tuple("abcdef")])
        assert record.error.startswith("LoadTimeoutError: ")


async def test_a_scan_that_cancels_itself_fails_its_backfill_and_cancels_nobody():
    leaked = await leaked_cancellation()
    cache, source = scanned()
    reached_the_end = False
    async with create_task_group() as tasks, cache:
        bystander = start(tasks, sleep_forever)
        source.scan_error = leaked
        assert (await cache.force_backfill()).status is Status.FAILED
        source.scan_error = None
        assert (await cache.force_backfill()).status is Status.COMPLETED
        assert bystander.outcome == PENDING
        reached_the_end = True
        tasks.cancel_scope.cancel()

    assert reached_the_end


# what is kept


async def test_the_audit_log_is_numbered_and_what_repeats_is_folded():
    cache, _ = scanned(**AT_EVERY_MISS, max_backfills=1, backfill_batch=3)
    async with cache:
        for key in "uvwabc":
            await cache.get(key)
        await cache.approve_backfills(1, by="ada", reason="more")
        for key in "xyz":
            await cache.get(key)

        log = cache.audit_log
        assert [record.number for record in log] == list(range(1, len(log) + 1))
        assert [(record.status.value, record.repeats) for record in log] == [
            ("started", 1),
            ("completed", 1),
            ("denied", 2),
            ("approved", 1),
            ("started", 1),
            ("completed", 1),
            ("skipped", 2),
        ]
        assert (log[2].lookup, log[2].last_lookup) == (2, 3)


async def test_every_decision_is_told_to_the_observers_also_those_that_are_folded():
    events = []
    cache, _ = scanned(**AT_EVERY_MISS, max_backfills=0, observers=[events.append])
    async with cache:
        for key in "uvw":
            await cache.get(key)

    told = [event.record for event in events if isinstance(event, BackfillAudited)]
    assert [(record.status, record.repeats) for record in told] == [(Status.DENIED, n) for n in (1, 2, 3)]


async def test_the_audit_log_in_memory_is_bounded_and_what_was_dropped_is_counted():
    cache, source = scanned(audit_keep=3)
    async with cache:
        for _ in range(5):
            await cache.clear()
            await cache.force_backfill()

        assert [record.number for record in cache.audit_log] == [8, 9, 10]
        assert (cache.stats.audit_dropped, cache.stats.backfills) == (7, 5)
        assert len(source.calls) == 5


async def test_a_record_is_made_of_what_json_can_hold():
    cache, _ = scanned(max_backfills=1, wall_clock=lambda: 1_700_000_000.0)
    async with cache:
        record = await cache.force_backfill(by="ada", reason="why")

    facts = json.loads(json.dumps(record.as_dict()))
    assert (facts["time"], facts["status"]) == ("2023-11-14T22:13:20.000+00:00", "completed")


async def test_budget_audit_log_and_counts_outlive_the_close_and_go_on_after_it():
    cache, source = scanned(**AT_EVERY_MISS, max_backfills=2, backfill_batch=1)
    async with cache:
        await cache.get("x")
    assert (cache.stats.permits_left, statuses(cache)) == (1, ["started", "completed"])
    async with cache:
        for _ in range(2):
            await cache.get("x")

    assert statuses(cache) == ["started", "completed", "started", "completed", "denied"]
    assert [keys for keys in source.calls if keys != ("x",)] == [("a",), ("b",)]


async def test_a_sink_has_every_record_at_the_close():
    sink = Sink()
    cache, _ = scanned(**AT_EVERY_MISS, max_backfills=1, backfill_batch=1, audit_sink=sink)
    async with cache:
        for key in "xyz":
            await cache.get(key)
        await cache.approve_backfills(1, by="ada", reason="more")
        await cache.force_backfill()

    assert tuple(sink.records.values()) == cache.audit_log
    assert len(sink.records) == 6


async def test_a_backfill_under_way_at_the_close_is_cancelled_and_its_record_saved():
    sink = Sink()
    source = GatedSource(ROWS)
    cache = BackfillCache(source, scan=MappingSource(ROWS), audit_sink=sink)
    async with create_task_group() as tasks, cache:
        forced = await begin(tasks, cache.force_backfill)

    assert [record.status for record in sink.records.values()] == [Status.STARTED, Status.CANCELLED]
    assert forced.outcome == cache.audit_log[-1]
    assert (forced.outcome.error, source.cancelled) == ("the cache closed", [tuple("abcdef")])


async def test_a_backfill_under_way_when_the_cache_is_cancelled_reaches_the_sink_too():
    sink = Sink()
    cache = BackfillCache(GatedSource(ROWS), scan=MappingSource(ROWS), audit_sink=sink)

    async def live():
        async with cache:
            await cache.force_backfill()

    async with create_task_group() as tasks:
        await begin(tasks, live)
        tasks.cancel_scope.cancel()

    assert statuses(cache) == ["started", "cancelled"]
    assert tuple(sink.records.values()) == cache.audit_log


async def test_a_write_under_way_when_the_cache_is_cancelled_is_done_again():
    sink = Sink()
    sink.pause = 1.0
    cache, _ = scanned(audit_sink=sink)

    async def live():
        async with cache:
            await cache.force_backfill()
            await sleep_forever()

    async with create_task_group() as tasks:
        await begin(tasks, live)
        assert sink.records == {}
        tasks.cancel_scope.cancel()

    assert tuple(sink.records.values()) == cache.audit_log
    assert statuses(cache) == ["started", "completed"]


async def test_a_sink_that_fails_hurts_no_caller_and_has_everything_once_it_recovers():
    sink = Sink()
    sink.error = OSError("disk full")
    cache, _ = scanned(**AT_EVERY_MISS, max_backfills=1, backfill_batch=1, audit_sink=sink)
    async with cache:
        assert [await cache.get(key) for key in "abc"] == ["A", "B", "C"]
        await cache.settle()
        assert sink.records == {}
        sink.error = None
        await cache.settle()

        assert tuple(sink.records.values()) == cache.audit_log


async def test_a_sink_that_cancels_itself_hurts_no_caller_either():
    sink = Sink()
    sink.error = await leaked_cancellation()
    cache, _ = scanned(audit_sink=sink)
    reached_the_end = False
    async with cache:
        await cache.force_backfill()
        await cache.settle()
        assert await cache.get("a") == "A"
        sink.error = None
        reached_the_end = True

    assert reached_the_end
    assert tuple(sink.records.values()) == cache.audit_log


async def test_a_sink_that_hangs_holds_up_the_close_for_five_seconds_and_nothing_else():
    sink = Sink()
    sink.pause = 1e6
    cache, _ = scanned(audit_sink=sink)
    began = current_time()
    with move_on_after(1000.0):
        async with cache:
            await cache.force_backfill()
            assert await cache.get("a") == "A"
            assert current_time() == began

    assert current_time() - began == pytest.approx(5.0)


async def test_a_forced_backfill_that_waits_for_its_turn_ends_with_the_cache():
    source = GatedSource(ROWS)
    scan = Source(ROWS)
    async with create_task_group() as tasks:
        async with BackfillCache(source, scan=scan, backfill_batch=2) as cache:
            await begin(tasks, cache.force_backfill)
            second = await begin(tasks, cache.force_backfill)
            pages, scan.scan_pause = scan.pages, 1e6
            began = current_time()
        assert current_time() == began

    assert isinstance(second.outcome, CacheClosedError)
    assert (scan.pages, statuses(cache)) == (pages, ["started", "cancelled"])


# what is refused


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("miss_threshold", [0, 0.009, 1.01, -0.5, True, "0.5", None]),
        ("backfill_batch", [0, -1, True, 1.0, "1"]),
        ("max_backfills", [-1, True, 1.0, "1"]),
        ("audit_keep", [0, -1, True, 1.0, "1", None]),
        ("capacity", [-1, True, 1.0, "1"]),
    ],
)
def test_a_setting_outside_its_limits_is_refused_by_name(setting, values):
    for value in values:
        with pytest.raises(ConfigurationError) as refused:
            BackfillCache(Source(ROWS), **{setting: value})
        assert refused.value.setting == setting


async def test_a_capacity_is_set_at_the_store_or_at_the_cache_but_not_at_both():
    with pytest.raises(ConfigurationError, match="capacity"):
        BackfillCache(Source(ROWS), store=MemoryStore(3), capacity=3)

    source = Source(ROWS)
    async with BackfillCache(source, scan=source, store=MemoryStore(3)) as cache:
        await cache.force_backfill()
        assert (cache.stats.size, source.calls) == (3, [("a", "b", "c")])
