"""A value is a hit until its own time and never after, also where all others are known to be fresh."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, FreshnessPolicy, MappingSource, MemoryStore
from async_backfill.testing import ManualClock
from tests.callers import run

ROWS = {key: key.upper() for key in "abcd"}
TTL = 10
step = st.one_of(
    st.tuples(st.just("get"), st.sampled_from("abcd")),
    st.tuples(st.just("put"), st.sampled_from("abcd"), st.integers(1, 20)),
    st.tuples(st.just("invalidate"), st.sampled_from("abcd")),
    st.tuples(st.just("pass"), st.integers(1, 12)),
    st.tuples(st.just("clear")),
)


class Expected:
    """When the value of each key expires, and what that makes of a lookup."""

    def __init__(self):
        self.now = 0
        self.until = {}
        self.hits = 0

    def get(self, key):
        if self.now < self.until.get(key, 0):
            self.hits += 1
        else:
            self.until[key] = self.now + TTL

    def put(self, key, ttl):
        self.until[key] = self.now + ttl


@given(steps=st.lists(step, max_size=40), stale_for=st.sampled_from([0.0, 3.0]))
@settings(max_examples=60, deadline=None)
def test_a_lookup_is_a_hit_exactly_until_its_value_expires(steps, stale_for):
    async def main():
        clock, expected = ManualClock(), Expected()
        freshness = FreshnessPolicy(ttl=TTL, stale_for=stale_for, stale_wait=None)
        async with BackfillCache(MappingSource(ROWS), freshness=freshness, clock=clock) as cache:
            for what, *arguments in steps:
                if what == "pass":
                    clock.advance(arguments[0])
                    expected.now += arguments[0]
                elif what == "put":
                    await cache.put(arguments[0], "put", ttl=arguments[1])
                    expected.put(*arguments)
                elif what == "get":
                    await cache.get(*arguments)
                    expected.get(*arguments)
                elif what == "clear":
                    await cache.clear()
                    expected.until.clear()
                else:
                    await cache.invalidate(*arguments)
                    expected.until.pop(*arguments, None)
                assert cache.stats.hits == expected.hits, (what, arguments)

    run(main, "asyncio")


def test_a_value_that_lives_shorter_than_the_others_is_no_hit_afterwards():
    async def main():
        clock = ManualClock()
        async with BackfillCache(
            MappingSource(ROWS), freshness=FreshnessPolicy(ttl=60), clock=clock
        ) as cache:
            await cache.get_many("acd")
            await cache.put("b", "short", ttl=5)
            clock.advance(4.9)
            assert await cache.get("b") == "short"
            clock.advance(0.1)

            return await cache.get("b"), await cache.get("a"), cache.stats.hits

    assert run(main, "asyncio") == ("B", "A", 2)


def test_what_a_store_held_before_stays_no_hit_when_others_have_come():
    async def main():
        store = MemoryStore(4)
        store.set_many({"a": "old"})
        freshness = FreshnessPolicy(ttl=60)
        async with BackfillCache(MappingSource(ROWS), store=store, freshness=freshness) as cache:
            await cache.get("b")
            await cache.get("c")
            return await cache.get("a"), cache.stats.hits

    assert run(main, "asyncio") == ("A", 0)
