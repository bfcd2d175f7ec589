"""A copy in the far tier (L2) that is older than its ttl answers where the source cannot."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import BackfillCache, Failed, FarTier, FreshnessPolicy, LoadError
from async_backfill.contracts import Page
from tests.callers import outcomes
from tests.far.shared import Leases, Shared

pytestmark = pytest.mark.anyio

TTL, STALE_FOR = 10.0, 100.0


class Table:
    def __init__(self):
        self.rows, self.error, self.calls, self.bad = {"a": "old", "b": "old"}, None, 0, set()
        self.seconds = 0.0

    async def load_many(self, keys):
        self.calls += 1
        await anyio.sleep(self.seconds)
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


@pytest.mark.parametrize("has_leases", [False, True])
@pytest.mark.parametrize("stale_wait", [0.0, None])
async def test_a_process_that_starts_in_an_outage_serves_stale_copies(stale_wait, has_leases):
    table, shared = await filled()
    await anyio.sleep(50.0)
    table.error = ConnectionError("down")
    leases = Leases(shared) if has_leases else None
    async with process_of(table, shared, leases=leases, stale_wait=stale_wait) as cache:
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


@pytest.mark.parametrize("has_leases", [False, True])
async def test_a_copy_is_kept_for_its_ttl_and_stale_for(has_leases):
    table, shared = Table(), Shared()
    async with process_of(table, shared, leases=Leases(shared) if has_leases else None) as cache:
        await cache.get("a")
        await cache.settle()

        await anyio.sleep(TTL + STALE_FOR - 1.0)
        assert shared.has("a")
        await anyio.sleep(2.0)
        assert not shared.has("a")


async def test_a_stale_copy_that_was_served_is_not_written_as_if_it_were_loaded():
    table, shared = await filled()
    await anyio.sleep(50.0)
    before = shared.entries["a"]
    table.error = ConnectionError("down")
    async with process_of(table, shared, leases=Leases(shared)) as cache:
        assert await cache.get("a") == "old"
        await cache.settle()
        await anyio.sleep(0.1)

        assert shared.entries["a"] == before
        assert shared.leases == {}


async def test_processes_that_wait_for_a_load_that_fails_serve_their_stale_copies():
    table, shared = await filled()
    await anyio.sleep(50.0)
    table.error, table.seconds = ConnectionError("down"), 0.05
    async with AsyncExitStack() as stack:
        processes = [process_of(table, shared, leases=Leases(shared)) for _ in range(5)]
        for process in processes:
            await stack.enter_async_context(process)
        began = anyio.current_time()

        assert await outcomes(lambda cache: cache.get("a"), *((it,) for it in processes)) == ["old"] * 5
        assert anyio.current_time() - began < 0.15
        assert table.calls == 1
        assert [process.peek("a") for process in processes] == [None] * 5


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
