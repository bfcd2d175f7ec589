"""A ttl for one entry: given with a put, or worked out from key and value."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import BackfillCache, ConfigurationError, FarTier, FreshnessPolicy, MappingSource
from async_backfill.testing import ManualClock
from tests.far.shared import Ears, Shared

pytestmark = pytest.mark.anyio

ROWS = {"short": 1, "long": 100, "usual": None}


def ttl_of(_, value):
    return value


def cache_of(clock, **policy):
    return BackfillCache(MappingSource(ROWS), freshness=FreshnessPolicy(**policy), clock=clock)


@given(
    own=st.floats(0.1, 1e6),
    ttl=st.none() | st.floats(0.1, 1e6),
    early=st.sampled_from([0.0, 1.0]),
    share=st.floats(0, 2),
)
def test_an_entry_is_fresh_for_exactly_the_ttl_it_was_put_with(own, ttl, early, share):
    async def main() -> None:
        clock = ManualClock()
        async with cache_of(clock, ttl=ttl, ttl_of=lambda *_: 5.0, early=early) as cache:
            await cache.put("k", "value", ttl=own)
            await cache.put_many({"usual": "value"})
            clock.advance(own * share)

            assert ("k" in cache) == (clock() < own)
            assert ("usual" in cache) == (clock() < 5.0)

    anyio.run(main)


@pytest.mark.parametrize("ttl", [None, 10.0])
async def test_a_function_says_how_long_each_loaded_value_is_fresh(ttl):
    clock = ManualClock()
    async with cache_of(clock, ttl=ttl, ttl_of=ttl_of) as cache:
        await cache.get_many(ROWS)
        fresh = []
        for seconds in (0.5, 0.5, 9.0, 89.0, 1.0):
            clock.advance(seconds)
            fresh.append("".join(key[0] for key in ROWS if key in cache))

    assert fresh == (["slu", "lu", "lu", "lu", "u"] if ttl is None else ["slu", "lu", "l", "l", ""])


async def test_a_value_whose_ttl_is_wrong_costs_itself(caplog):
    clock = ManualClock()
    source = MappingSource({"a": 1, "bad": "soon", "c": 0})
    freshness = FreshnessPolicy(ttl_of=ttl_of)
    async with BackfillCache(source, freshness=freshness, clock=clock) as cache:
        assert await cache.get_many(["a", "bad", "c"]) == {"a": 1, "bad": "soon", "c": 0}

        assert [key for key in ("a", "bad", "c") if key in cache] == ["a"]
        assert cache.stats.unkept == 2
    assert "'soon' is not a number" in caplog.text


@pytest.mark.parametrize("ttl", [0, -1.0, True, "5", float("nan"), float("inf")])
async def test_a_put_with_a_ttl_that_makes_no_sense_is_refused_and_changes_nothing(ttl):
    async with cache_of(ManualClock(), ttl=10.0) as cache:
        with pytest.raises(ConfigurationError, match="ttl"):
            await cache.put("a", 1, ttl=ttl)

        assert len(cache) == 0


async def test_a_put_with_a_ttl_where_nothing_expires_is_refused_and_says_what_to_do():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        with pytest.raises(ConfigurationError, match="FreshnessPolicy"):
            await cache.put("a", 1, ttl=5.0)

        assert len(cache) == 0


async def test_other_processes_never_take_an_entry_with_its_own_ttl_for_one_of_the_usual():
    shared = Shared()

    def process(name):
        return BackfillCache(
            MappingSource({"a": "row"}),
            far=FarTier(store=shared, invalidations=Ears(shared, name)),
            freshness=FreshnessPolicy(ttl=60.0),
            clock=anyio.current_time,
        )

    async with process("one") as one, process("two") as two:
        await one.get("a")
        await two.get("a")
        await one.settle()
        await one.put("a", "for a moment", ttl=1.0)

        assert (await one.get("a"), await two.get("a")) == ("for a moment", "row")
        await anyio.sleep(1.0)
        assert await one.get("a") == "row"


def test_a_function_for_the_ttl_is_refused_with_a_far_tier():
    with pytest.raises(ConfigurationError, match="ttl_of"):
        BackfillCache(
            MappingSource(ROWS),
            far=FarTier(store=Shared()),
            freshness=FreshnessPolicy(ttl=9.0, ttl_of=ttl_of),
        )
