"""The states of readiness: warming, ready, given up; what begins it, what ends it, and that it stays."""

from __future__ import annotations

import anyio
import pytest
from anyio import create_task_group, current_time, sleep, wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CircuitPolicy,
    ConfigurationError,
    FreshnessPolicy,
    LoadPolicy,
    MappingSource,
    ReadinessPolicy,
    ReadinessState,
)
from async_backfill.contracts import Heats
from async_backfill.testing import GatedSource
from tests.callers import PENDING, start

pytestmark = pytest.mark.anyio

ROWS = {number: number for number in range(100)}
AT_ONCE = ReadinessPolicy(warm_on_open=True)


class Shelf:
    """A journal of hot keys, the first ones hotter."""

    def __init__(self, hot=range(10)):
        self.heats = Heats(keys={key: 1000.0 - place for place, key in enumerate(hot)}, hit_rate=0.9)

    async def load(self):
        return self.heats

    async def save(self, heats):
        pass


class Down(MappingSource):
    """A source that fails while ``error`` is set, and notes when it was asked."""

    def __init__(self, rows=ROWS):
        super().__init__(rows)
        self.error = ConnectionError("down")
        self.times = []

    async def load_many(self, keys):
        self.times.append(current_time())
        if self.error is not None:
            raise self.error
        return await super().load_many(keys)


def cache_of(source=None, **changes):
    defaults = {
        "capacity": 50,
        "backfill_batch": 4,
        "backfill": BackfillPolicy(selection="history"),
        "journal": Shelf(),
        "clock": current_time,
    }
    return BackfillCache(MappingSource(ROWS) if source is None else source, **(defaults | changes))


def lines(caplog):
    return [record.message for record in caplog.records if hasattr(record, "coverage")]


# what begins it


async def test_a_probe_alone_makes_a_cold_cache_ready():
    async with cache_of() as cache:
        assert not cache.is_ready()
        await sleep(1.0)

        assert cache.is_ready()
        assert cache.stats.size == 10


async def test_to_look_at_the_state_is_a_question_too():
    async with cache_of() as cache:
        first = cache.readiness
        await sleep(1.0)
        later = cache.readiness

    assert (first.state, first.coverage, first.may_take_traffic) == (ReadinessState.WARMING, 0.0, False)
    assert (later.state, later.coverage, later.may_take_traffic) == (ReadinessState.READY, 1.0, True)
    assert later.reason == "10 of 10 hot keys have been cached"


async def test_nothing_is_loaded_before_the_first_question():
    async with cache_of() as cache:
        await sleep(100.0)

        assert cache.stats.source_calls == 0


async def test_it_can_begin_when_the_cache_is_opened_and_when_it_is_emptied():
    async with cache_of(readiness=AT_ONCE) as cache:
        await sleep(1.0)
        assert cache.stats.size == 10
        await cache.clear()
        assert cache.stats.size == 0
        await sleep(1.0)

        assert cache.stats.size == 10


async def test_a_hundred_questions_begin_it_once():
    source = GatedSource(ROWS)
    async with cache_of(source) as cache:
        for _ in range(100):
            cache.is_ready()
        await wait_all_tasks_blocked()
        assert source.calls == [(0, 1, 2, 3)]


async def test_traffic_before_the_first_question_leaves_a_cache_without_history_ready():
    async with cache_of(journal=None, capacity=5) as cache:
        for key in range(20):
            await cache.get(key)

        assert cache.is_ready()
        assert cache.readiness.reason == "no keys were known to be hot when the cache was empty"


# what ends it


async def test_a_source_that_fails_costs_a_permit_less_and_less_often():
    source = Down()
    async with cache_of(source, readiness=AT_ONCE) as cache:
        await sleep(59.0)

        assert [round(time) for time in source.times] == [0, 1, 3, 7, 15, 31]
        assert cache.readiness.state is ReadinessState.WARMING


async def test_when_the_permits_are_burnt_it_gives_up_says_so_once_and_takes_traffic(caplog):
    async with cache_of(Down(), max_backfills=3) as cache:
        began = current_time()
        await cache.ready()
        for _ in range(10):
            found = cache.readiness

        assert current_time() - began == pytest.approx(7.0, abs=0.1)
        assert (found.state, found.coverage, cache.is_ready()) == (ReadinessState.GAVE_UP, 0.0, True)
        why = "no permit is left (approve_backfills allows more); 0 of 10 hot keys have been cached"
        assert found.reason == why
        assert lines(caplog) == [f"the cache is not warm, and traffic may come nevertheless: {why}"]


async def test_after_an_approval_it_goes_on_and_takes_traffic_meanwhile():
    async with cache_of(max_backfills=1) as cache:
        await cache.ready()
        assert (cache.stats.size, cache.readiness.state) == (4, ReadinessState.GAVE_UP)
        await cache.approve_backfills(5, by="ada", reason="it was the deploy")
        assert cache.is_ready()
        await sleep(1.0)

        assert (cache.stats.size, cache.readiness.state) == (10, ReadinessState.READY)


async def test_a_source_that_hangs_holds_nobody_beyond_the_deadline(caplog):
    async with cache_of(GatedSource(ROWS), load=LoadPolicy(timeout=None)) as cache:
        began = current_time()
        await cache.ready()

        assert current_time() - began == pytest.approx(60.0)
        assert cache.readiness.state is ReadinessState.GAVE_UP
        assert cache.readiness.reason.startswith("it took longer than 60 s; 0 of 10")
        assert len(lines(caplog)) == 1


async def test_the_deadline_is_that_of_the_policy_or_there_is_none():
    for within, state in ((5.0, ReadinessState.GAVE_UP), (None, ReadinessState.WARMING)):
        async with cache_of(GatedSource(ROWS), readiness=ReadinessPolicy(within=within)) as cache:
            cache.is_ready()
            await sleep(10.0)
            assert cache.readiness.state is state


async def test_it_waits_for_a_source_whose_circuit_is_open():
    source = Down()
    circuit = CircuitPolicy(failures=1, open_for=20.0)
    async with cache_of(source, load=LoadPolicy(circuit=circuit), readiness=AT_ONCE) as cache:
        await sleep(10.0)
        assert len(source.times) == 1
        source.error = None
        await sleep(15.0)
        await cache.get(50)
        await sleep(6.0)

        assert cache.readiness.state is ReadinessState.READY


async def test_a_journal_of_keys_that_the_source_has_not_is_told(caplog):
    async with cache_of(journal=Shelf(["7", "8", "9"])) as cache:
        await cache.ready()
        found = cache.readiness

        assert (found.state, found.coverage) == (ReadinessState.GAVE_UP, 0.0)
        why = "the source has none of the 3 hot keys; are they of the right type?"
        assert found.reason == f"{why}; 0 of 3 hot keys have been cached"
        assert len(lines(caplog)) == 1


async def test_keys_that_the_source_has_no_more_do_not_count():
    async with cache_of(MappingSource({number: number for number in range(5, 100)})) as cache:
        await cache.ready(1.0)

        assert cache.readiness.reason == "5 of 5 hot keys have been cached"


async def test_a_cache_that_is_full_of_other_keys_gives_up():
    async with cache_of(capacity=12) as cache:
        await cache.put_many({f"other {number}": 0 for number in range(10)})
        await cache.ready(1.0)

        assert cache.readiness.reason == "there is no room for more; 2 of 10 hot keys have been cached"


async def test_who_asks_for_more_of_a_cache_that_is_ready_waits_for_more():
    source = GatedSource(ROWS)
    async with cache_of(source) as cache, create_task_group() as tasks:
        some, others = start(tasks, cache.ready, 0.4), start(tasks, cache.ready, 1.0)
        await wait_all_tasks_blocked()
        source.release()
        await wait_all_tasks_blocked()
        assert (some.outcome, others.outcome) == (None, PENDING)
        assert (cache.is_ready(0.4), cache.is_ready()) == (True, False)
        source.open()


# that it stays


async def test_it_stays_ready_when_values_expire_and_traffic_moves():
    freshness = FreshnessPolicy(ttl=30.0)
    async with cache_of(freshness=freshness, readiness=ReadinessPolicy(warm_on_open=True)) as cache:
        await sleep(1.0)
        assert cache.is_ready()
        await sleep(100.0)
        assert [key for key in range(10) if cache.peek(key) is not None] == []
        for _ in range(50):
            await cache.get_many(range(50, 100))
        assert (cache.is_ready(1.0), cache.readiness.state) == (True, ReadinessState.READY)


@pytest.mark.parametrize("how", ["cleared", "opened anew"])
async def test_it_begins_anew_when_the_cache_is_emptied_or_opened_anew(how):
    cache = cache_of()
    async with cache:
        await cache.ready()
        if how == "cleared":
            await cache.clear()
            assert cache.readiness.state is ReadinessState.WARMING
            await cache.ready()
            assert cache.stats.size == 10
    if how == "opened anew":
        async with cache:
            assert cache.readiness.state is ReadinessState.WARMING
            await wait_all_tasks_blocked()
            assert cache.readiness.state is ReadinessState.READY


async def test_who_waits_while_the_cache_is_cleared_waits_until_it_is_warm_again():
    source = GatedSource(ROWS)
    async with cache_of(source) as cache, create_task_group() as tasks:
        waits = start(tasks, cache.ready)
        await wait_all_tasks_blocked()
        source.release()
        await wait_all_tasks_blocked()
        await cache.clear()
        source.open()
        await sleep(1.0)

        assert waits.outcome is None
        assert cache.stats.size == 10


keys = st.integers(0, 30)
steps = st.lists(
    st.tuples(st.sampled_from(["get", "put", "invalidate", "sleep", "clear", "fail", "heal"]), keys),
    max_size=30,
)


@settings(max_examples=100)
@given(story=steps, permits=st.none() | st.integers(0, 3), ttl=st.none() | st.just(5.0))
async def test_once_a_cache_may_take_traffic_it_may_until_it_is_emptied(story, permits, ttl):
    source = Down({number: number for number in range(20)})
    source.error = None
    freshness = FreshnessPolicy(ttl=ttl)
    async with cache_of(source, capacity=15, max_backfills=permits, freshness=freshness) as cache:
        may, began = cache.is_ready(), current_time()
        for what, key in story:
            match what:
                case "get":
                    with anyio.move_on_after(1.0):
                        await start_and_forget(cache, key)
                case "put":
                    await cache.put(key, key)
                case "invalidate":
                    await cache.invalidate(key)
                case "sleep":
                    await sleep(key)
                case "clear":
                    await cache.clear()
                    may, began = cache.is_ready(), current_time()
                case "fail":
                    source.error = ConnectionError("down")
                case "heal":
                    source.error = None
            found = cache.readiness
            assert found.may_take_traffic == cache.is_ready()
            assert 0.0 <= found.coverage <= 1.0
            assert found.may_take_traffic or not may
            may = found.may_take_traffic
            assert may or current_time() - began <= 60.1


async def start_and_forget(cache, key):
    async with create_task_group() as tasks:
        start(tasks, cache.get, key)


# what is refused


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("coverage", -0.1),
        ("coverage", 1.1),
        ("coverage", None),
        ("within", 0.0),
        ("within", -1),
        ("within", "60"),
        ("warm_on_open", 1),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_name(setting, value):
    with pytest.raises(ConfigurationError) as refused:
        ReadinessPolicy(**{setting: value})

    assert refused.value.setting == setting


def test_only_a_cache_with_history_can_begin_when_it_is_opened():
    with pytest.raises(ConfigurationError, match="warm_on_open"):
        BackfillCache(MappingSource(ROWS), readiness=AT_ONCE)


async def test_a_look_at_readiness_begins_nothing_and_says_what_a_question_says():
    cache = cache_of()
    assert cache.peek_readiness() is None
    async with cache:
        await cache.settle()
        assert cache.peek_readiness() is None
        assert cache.stats.source_calls == 0
        first = cache.readiness
        assert cache.peek_readiness() == first
        await cache.ready()
        assert cache.peek_readiness() == cache.readiness
        assert cache.peek_readiness().state is ReadinessState.READY
    assert cache.peek_readiness() is None
    async with BackfillCache(MappingSource(ROWS)) as other:
        assert other.peek_readiness() is None
