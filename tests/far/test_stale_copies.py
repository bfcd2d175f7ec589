"""A copy in the far tier (L2) that is older than its ttl answers where the source cannot."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import BackfillCache, Failed, FarTier, FreshnessPolicy, LoadError
from async_backfill.contracts import Page
from tests.far.shared import Leases, Shared

pytestmark = pytest.mark.anyio

TTL, STALE_FOR = 10.0, 100.0


class Table:
    def __init__(self):
        self.rows, self.error, self.calls, self.bad = {"a": "old", "b": "old"}, None, 0, set()

    async def load_many(self, keys):
        self.calls += 1
        if self.error is not None:
            raise self.error
        found = {key: self.rows[key] for key in keys if key in self.rows}
        return {**found, **{key: Failed(OSError(key)) for key in keys if key in self.bad}}


def process_of(table, shared, ttl=None, leases=None, **policy):
    return BackfillCache(
        table,
        far=FarTier(store=shared, ttl=ttl, leases=leases),
        freshness=FreshnessPolicy(ttl=TTL, **{"stale_for": STALE_FOR, "retry_after": 5.0, **policy}),
        clock=anyio.current_time,
    )


async def filled():
    """A table and a far tier that another process filled, which ended then."""
    table, shared = Table(), Shared()
    async with process_of(table, shared) as cache:
        await cache.get_many(["a", "b"])
        await cache.settle()
    table.rows = {"a": "new", "b": "new"}
    table.calls = 0
    return table, shared


@pytest.mark.parametrize("stale_wait", [0.0, None])
async def test_a_process_that_starts_in_an_outage_serves_stale_copies(stale_wait):
    table, shared = await filled()
    await anyio.sleep(50.0)
    table.error = ConnectionError("down")
    async with process_of(table, shared, stale_wait=stale_wait) as cache:
        assert await cache.get("a") == "old"
        assert (await cache.get_many(["a", "b"])) == {"a": "old", "b": "old"}
        assert cache.peek("a") is None
        assert table.calls == 2
        for _ in range(5):
            assert await cache.get("a") == "old"
        await cache.settle()
        assert table.calls == 2
        await anyio.sleep(6.0)
        table.error = None
        await cache.get("a")
        await cache.settle()

        assert await cache.get("a") == "new"
        assert shared.value("a") == "new"


async def test_where_the_source_answers_its_answer_is_taken():
    table, shared = await filled()
    await anyio.sleep(50.0)
    del table.rows["b"]
    async with process_of(table, shared) as cache:
        assert await cache.get_many(["a", "b"]) == {"a": "new"}
        await cache.settle()

    assert shared.value("a") == "new"


async def test_only_the_key_that_failed_gets_its_stale_copy():
    table, shared = await filled()
    await anyio.sleep(50.0)
    table.bad = {"a", "x"}
    async with process_of(table, shared) as cache:
        answers = await cache.try_many(["a", "b", "x"])

    assert (answers.values, list(answers.failed)) == ({"a": "old", "b": "new"}, ["x"])


async def test_a_copy_that_is_older_than_ttl_and_stale_for_is_served_by_nobody():
    table, shared = await filled()
    table.error = ConnectionError("down")
    async with process_of(table, shared) as cache:
        await anyio.sleep(TTL + STALE_FOR - 20.0)
        assert await cache.get("a") == "old"
        await anyio.sleep(21.0)
        for key in "ab":
            with pytest.raises(LoadError):
                await cache.get(key)


async def test_a_backfill_takes_no_stale_copy():
    table, shared = await filled()
    await anyio.sleep(50.0)
    table.error = ConnectionError("down")

    class Keys:
        async def scan(self, cursor, limit):  # noqa: ARG002 - it has one page
            return Page(["a", "b"], None)

    cache = BackfillCache(
        table,
        scan=Keys(),
        far=FarTier(store=shared),
        freshness=FreshnessPolicy(ttl=TTL, stale_for=STALE_FOR),
        clock=anyio.current_time,
    )
    async with cache:
        await cache.force_backfill()

        assert cache.stats.size == 0


async def test_with_leases_no_copy_outlives_its_ttl_because_no_lease_could_be_had():
    table, shared = Table(), Shared()
    async with process_of(table, shared, leases=Leases(shared)) as cache:
        await cache.get("a")
        await cache.settle()
        await anyio.sleep(TTL + 1.0)

        assert not shared.has("a")


@given(age=st.floats(0.0, 200.0), tier=st.sampled_from([None, 5.0, 30.0]), fails=st.booleans())
def test_a_copy_is_fresh_within_its_ttl_stale_within_stale_for_and_nothing_else(age, tier, fails):
    async def main() -> None:
        table, shared = Table(), Shared()
        shared.entries["a"] = ("copy", anyio.current_time() - age, float("inf"))
        table.error = ConnectionError("down") if fails else None
        limit = TTL if tier is None else tier
        async with process_of(table, shared, ttl=tier) as cache:
            try:
                value = await cache.get("a")
            except LoadError:
                value = "failed"
            fresh = cache.peek("a") is not None

        slack = 1.0
        if age < limit - slack:
            assert (value, fresh) == ("copy", True)
        elif limit + slack < age and not fails:
            assert (value, fresh) == ("old", True)
        elif limit + slack < age < limit + STALE_FOR - slack:
            assert (value, fresh) == ("copy", False)
        elif age > limit + STALE_FOR + slack:
            assert (value, fresh) == ("failed", False)

    anyio.run(main)
