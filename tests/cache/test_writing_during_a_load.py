"""Writing while a load is under way: the write wins, and no older load touches what is newer."""

from __future__ import annotations

from itertools import permutations

import pytest
from anyio import wait_all_tasks_blocked

from async_backfill import LoadError
from tests.cache.writes import PUTS, REMOVALS, clear, gated, invalidate, put, reader, write
from tests.callers import PENDING

pytestmark = pytest.mark.anyio


FAILURES = [None, ConnectionError("the older load failed")]

failure = pytest.mark.parametrize("failure", FAILURES, ids=["good", "bad"])


@reader
@pytest.mark.parametrize("write", PUTS)
@failure
async def test_a_put_wins_over_the_load_under_way_however_that_ends(read, write, failure):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        await rig.end_oldest(failure)

        assert rig.cache.peek("a") == "put"


@reader
@pytest.mark.parametrize("write", REMOVALS)
async def test_a_load_is_not_stored_when_its_key_was_removed_since(read, write):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        await rig.end_oldest()

        assert rig.cache.peek("a") is None
        assert rig.cache.stats.size == 0


@write
async def test_who_waited_before_the_write_is_served_by_the_load_it_waited_for(write):
    async with gated() as rig:
        caller = await rig.begin("get")
        await write(rig.cache)
        await wait_all_tasks_blocked()
        assert caller.outcome is PENDING
        await rig.end_oldest()

        assert caller.outcome == "old"


@reader
@pytest.mark.parametrize("write", REMOVALS)
async def test_a_get_begun_after_a_removal_never_joins_the_older_load(read, write):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        later = await rig.begin("get")
        await rig.end_oldest()
        assert later.outcome is PENDING
        rig.source.rows = {"a": "new"}
        await rig.end_oldest()

        assert later.outcome == "new"
        assert rig.cache.peek("a") == "new"
        assert rig.source.calls == [("a",), ("a",)]


@reader
@pytest.mark.parametrize("write", REMOVALS)
@failure
async def test_the_end_of_an_older_load_does_not_touch_a_newer_value(read, write, failure):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        await rig.cache.put("a", "newer")
        await rig.end_oldest(failure)

        assert rig.cache.peek("a") == "newer"


@reader
@pytest.mark.parametrize("write", REMOVALS)
@failure
async def test_the_end_of_an_older_load_does_not_touch_a_newer_load(read, write, failure):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        await rig.begin("get")
        await rig.end_oldest(failure)
        await rig.begin("get")

        assert len(rig.source.calls) == 2
        assert rig.cache.stats.in_flight == 1
        assert rig.cache.peek("a") is None


@pytest.mark.parametrize("write", REMOVALS)
async def test_an_older_load_that_ends_last_is_not_stored_over_the_newer_one(write):
    async with gated() as rig:
        older = await rig.begin("get")
        await write(rig.cache)
        newer = await rig.begin("get")
        rig.source._waiting.reverse()
        rig.source.rows = {"a": "new"}
        await rig.end_oldest()
        rig.source.rows = {"a": "old"}
        await rig.end_oldest()

        assert (older.outcome, newer.outcome) == ("old", "new")
        assert rig.cache.peek("a") == "new"


@pytest.mark.parametrize("write", REMOVALS)
async def test_cancelling_who_waits_for_the_older_load_does_not_touch_the_newer_one(write):
    async with gated() as rig:
        older = await rig.begin("get")
        await write(rig.cache)
        newer = await rig.begin("get")
        older.cancel()
        await wait_all_tasks_blocked()
        await rig.end_oldest()

        assert newer.outcome == "old"
        assert rig.cache.peek("a") == "old"
        assert rig.source.cancelled == [("a",)]


async def test_a_failed_older_load_fails_those_who_waited_for_it_and_nobody_else():
    async with gated() as rig:
        older = await rig.begin("get")
        await invalidate(rig.cache)
        newer = await rig.begin("get")
        await rig.end_oldest(ConnectionError("down"))
        await rig.end_oldest()

        assert isinstance(older.outcome, LoadError)
        assert newer.outcome == "old"


@pytest.mark.parametrize("writes", list(permutations([put, invalidate, clear])))
async def test_of_several_writes_during_one_load_the_last_one_counts(writes):
    async with gated() as rig:
        await rig.begin("get")
        for one in writes:
            await one(rig.cache)
        await rig.end_oldest()

        assert rig.cache.peek("a") == ("put" if writes[-1] is put else None)
