"""Many keys in an outage: what is there, and which keys failed."""

from __future__ import annotations

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import (
    Answers,
    BackfillCache,
    CacheClosedError,
    CircuitOpenError,
    CircuitPolicy,
    Failed,
    FreshnessPolicy,
    LoadCycleError,
    LoadError,
    LoadPolicy,
    LoadTimeoutError,
)
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import start

pytestmark = pytest.mark.anyio

ROWS = {"a": 1, "b": None, "c": 3}


class Table:
    """A source that can be down as a whole, or for some keys."""

    def __init__(self, rows=ROWS):
        self.rows, self.bad, self.error = dict(rows), set(), None

    async def load_many(self, keys):
        if self.error is not None:
            raise self.error
        return {
            key: Failed(OSError(key)) if key in self.bad else self.rows[key]
            for key in keys
            if key in self.rows or key in self.bad
        }


async def test_in_an_outage_it_returns_what_is_cached_and_which_keys_failed():
    table = Table()
    async with BackfillCache(table) as cache:
        await cache.get_many(ROWS)
        table.error = cause = ConnectionError("down")
        answers = await cache.try_many(["new", "a", "other", "b", "c"])

        assert (answers.values, list(answers.values), answers.absent) == (ROWS, ["a", "b", "c"], ())
        assert list(answers.failed) == ["new", "other"]
        for key, failure in answers.failed.items():
            assert (type(failure), failure.key, failure.__cause__) == (LoadError, key, cause)
        assert answers.failed["new"] is not answers.failed["other"]
        stats = cache.stats
        assert (stats.hits, stats.misses, stats.failed, stats.absent) == (3, 5, 2, 0)


async def test_where_nothing_fails_it_tells_values_from_absent_keys():
    async with BackfillCache(Table()) as cache:
        for _ in range(2):
            assert await cache.try_many(iter(["x", "b", "a", "y", "a"])) == Answers(
                values={"b": None, "a": 1}, absent=("x", "y"), failed={}
            )
        assert await cache.try_many([]) == Answers(values={}, absent=(), failed={})


async def test_keys_known_to_be_absent_and_stale_values_are_answers_in_an_outage():
    table, clock = Table(), ManualClock()
    freshness = FreshnessPolicy(ttl=10.0, stale_for=100.0, absent_ttl=100.0)
    async with BackfillCache(table, freshness=freshness, clock=clock) as cache:
        await cache.get_many(["a", "gone"])
        clock.advance(10.0)
        table.error = ConnectionError("down")
        answers = await cache.try_many(["gone", "a", "new"])

        assert (answers.values, answers.absent, list(answers.failed)) == ({"a": 1}, ("gone",), ["new"])
        assert cache.stats.stale == 1


async def test_each_failure_is_of_the_kind_that_get_raises():
    source = GatedSource(ROWS)
    load = LoadPolicy(timeout=1.0, circuit=CircuitPolicy(failures=1, open_for=100.0))
    async with BackfillCache(source, load=load, clock=anyio.current_time) as cache:
        late = (await cache.try_many(["a"])).failed["a"]
        refused = (await cache.try_many(["a"])).failed["a"]

    assert (type(late), type(refused)) == (LoadTimeoutError, CircuitOpenError)


async def test_get_many_still_raises_the_first_failure_and_keeps_the_others():
    table = Table()
    table.bad = {"bad", "worse"}
    async with BackfillCache(table) as cache:
        with pytest.raises(LoadError) as caught:
            await cache.get_many(["a", "worse", "bad", "c"])

        assert caught.value.key == "worse"
        assert (cache.peek("a"), cache.peek("c"), cache.stats.failed) == (1, 3, 2)


async def test_who_waits_while_the_cache_closes_is_told_so_and_not_that_keys_failed():
    source = GatedSource(ROWS)
    async with anyio.create_task_group() as tasks:
        async with BackfillCache(source) as cache:
            caller = start(tasks, cache.try_many, ["a"])
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        assert isinstance(caller.outcome, CacheClosedError)
    with pytest.raises(CacheClosedError):
        await cache.try_many(["a"])


async def test_a_load_that_waits_for_itself_is_refused():
    class Circular:
        async def load_many(self, keys):
            await cache.try_many(keys)

    async with BackfillCache(Circular()) as cache:
        with pytest.raises(LoadError) as caught:
            await cache.get("a")

    assert isinstance(caught.value, LoadCycleError)


keys = st.lists(st.sampled_from("abcdefgh"), max_size=12)


@given(
    cached=keys,
    there=st.sets(st.sampled_from("abcdefgh")),
    bad=st.sets(st.sampled_from("abcdefgh")),
    asked=keys,
)
def test_each_key_is_in_exactly_one_of_the_three_as_get_would_say(cached, there, bad, asked):
    async def main() -> None:
        table = Table(dict.fromkeys(there, "value"))
        async with BackfillCache(table) as cache:
            await cache.get_many(cached)
            table.bad = bad
            answers = await cache.try_many(asked)
            parts = [*answers.values, *answers.absent, *answers.failed]

            assert sorted(parts) == sorted(set(asked))
            for key in set(asked):
                try:
                    value = await cache.get(key)
                except LoadError:
                    assert key in answers.failed
                else:
                    assert (key in answers.absent) if value is None else (answers.values[key] == value)

    anyio.run(main)
