"""A verification finds every difference that is there, and none beside rows that change."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf

import pytest
from anyio import create_task_group, current_time, sleep
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill._common.error_text import key_text
from async_backfill._jobs._packing import pack, unpack
from async_backfill._jobs._records import JobCounts, ShardRecord, ShardStatus
from async_backfill._jobs._rewriting import Rewriting
from async_backfill._jobs._verifying.comparison import Comparison
from async_backfill._jobs._verifying.walk import Walk
from async_backfill.contracts import RowPage
from async_backfill.outcomes import Failed
from async_backfill.testing import MemoryFarStore, MemoryReadBudget
from tests.jobs.table import Table, ends_of, rows_of, spec_of

pytestmark = pytest.mark.anyio


def shard(number, low, high, cursor, *, read, status=ShardStatus.DONE):
    packed = [None if key is None else pack(key) for key in (low, high, cursor)]
    return ShardRecord(
        job=1,
        number=number,
        low=packed[0],
        high=packed[1],
        cursor=packed[2],
        status=status,
        owner=None,
        generation=1,
        leased_until=0.0,
        attempts=1,
        not_before=0.0,
        counts=JobCounts(read=read, kept=read),
        pages=1,
        repeated=0,
        batch=100,
        throttled=None,
        error=None,
    )


async def copied(count):
    """A job that has just copied so many rows, in two shards."""
    table, store = Table(rows_of(count)), MemoryFarStore()
    await store.set_many(dict(table.data))
    keys = sorted(table.data)
    middle = keys[count // 2 - 1]
    shards = [
        shard(0, None, middle, middle, read=count // 2),
        shard(1, middle, None, keys[-1], read=count - count // 2),
    ]
    return table, store, shards


async def compared(table, store, shards, *, some=None, repair=False, **options):
    """Return what was found, and the findings, in the order of their keys."""
    ends = ends_of(table, store, invalidations=options.pop("invalidations", None))
    given = {"dead": frozenset(), "expires_from": inf, **options}
    rewriting = Rewriting(ends, spec_of(), seconds=10.0) if repair else None
    comparison = Comparison(ends, rewriting=rewriting, apart=2.0, seconds=10.0, **given)
    walk = Walk(ends, shards, comparison, rate=None, seconds=10.0, stopped=never)
    await (walk.over_all() if some is None else walk.over_some(some))
    return comparison.result(is_all=some is None), sorted(comparison.findings())


async def never():
    return None


def told(keys, kind):
    return [(pack(key), kind) for key in sorted(keys)]


async def test_a_right_copy_has_no_difference():
    found, findings = await compared(*await copied(3000))

    assert (found.compared, found.differences, findings) == (3000, 0, [])


async def test_wrong_and_missing_rows_are_found_and_named():
    table, store, shards = await copied(50)
    await store.set_many({"k00007": "other", "k00030": "other"})
    await store.delete_many(["k00010", "k00049"])

    found, findings = await compared(table, store, shards)

    assert (found.wrong, found.missing) == (2, 2)
    assert findings == sorted(told(["k00007", "k00030"], "wrong") + told(["k00010", "k00049"], "missing"))


@given(data=st.data())
@settings(max_examples=60)
async def test_any_differences_are_found_and_no_other_beside_writers(data):
    keys = st.sampled_from(sorted(rows_of(60)))
    wrong = data.draw(st.sets(keys, max_size=60))
    missing = data.draw(st.sets(keys, max_size=60)) - wrong
    others = sorted(set(rows_of(60)) - wrong - missing)
    courses = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(others or ["k00000"]),
                st.sampled_from(["change", "remove", "change and remove"]),
                st.floats(0.0, 3.0),
                st.floats(0.0, 1.5),
            ),
            max_size=20 if others else 0,
        )
    )
    table, store, shards = await copied(60)
    if wrong:
        await store.set_many(dict.fromkeys(wrong, "planted"))
    if missing:
        await store.delete_many(sorted(missing))

    async def write(key, course, wait, between):
        await sleep(wait)
        if "change" in course and key in table.data:
            table.data[key] += "!"
            await sleep(between)
            if key in table.data:
                await store.set_many({key: table.data[key]})
        if "remove" in course:
            table.data.pop(key, None)
            await sleep(between)
            await store.delete_many([key])

    async with create_task_group() as tasks:
        for course in courses:
            tasks.start_soon(write, *course)
        found, findings = await compared(table, store, shards)

    assert findings == sorted(told(wrong, "wrong") + told(missing, "missing"))
    assert (found.wrong, found.missing) == (len(wrong), len(missing))


async def test_rows_behind_the_cursors_are_counted_apart():
    table, store, shards = await copied(20)
    table.data |= {"k99998": "new", "k99999": "new"}

    found, findings = await compared(table, store, shards)

    assert (found.inserted, found.differences, findings) == (2, 0, [])


async def test_rows_that_came_among_those_read_are_counted_apart():
    table, store, shards = await copied(20)
    table.data |= {"k00003+": "new", "k00017+": "new"}

    found, findings = await compared(table, store, shards)

    assert (found.inserted, found.differences, findings) == (2, 0, [])


async def test_more_missing_rows_than_were_inserted_are_all_missing():
    table, store, shards = await copied(20)
    table.data["k00003+"] = "new"
    await store.delete_many(["k00001"])

    found, _ = await compared(table, store, shards)

    assert (found.inserted, found.missing) == (0, 2)


async def test_values_that_may_have_expired_are_not_missing_and_wrong_ones_are_wrong():
    table, store, shards = await copied(20)
    await store.delete_many(["k00001"])
    await store.set_many({"k00002": "other"})

    found, findings = await compared(table, store, shards, expires_from=0.0)

    assert (found.expired, found.missing, found.wrong) == (1, 0, 1)
    assert findings == told(["k00002"], "wrong")


async def test_dead_rows_are_counted_apart():
    table, store, shards = await copied(20)
    await store.delete_many(["k00001", "k00002"])
    table.data["k00002"] = Failed(ValueError("no price"))

    found, _ = await compared(table, store, shards, dead={pack("k00001"), pack("k00002")})

    assert (found.dead, found.differences) == (2, 0)


async def test_a_row_that_cannot_be_made_any_more_is_a_difference():
    table, store, shards = await copied(20)
    table.data["k00002"] = Failed(ValueError("no price"))

    found, _ = await compared(table, store, shards)

    assert (found.unread, found.differences) == (1, 1)


async def test_of_a_shard_that_is_not_done_the_rows_read_are_compared():
    table, store, _ = await copied(20)
    await store.clear()
    await store.set_many({key: table.data[key] for key in sorted(table.data)[:8]})
    await store.delete_many(["k00001"])
    part = shard(0, None, None, "k00007", read=8, status=ShardStatus.READY)

    found, findings = await compared(table, store, [part])

    assert (found.compared, findings) == (8, told(["k00001"], "missing"))


async def test_a_sample_is_as_many_rows_from_all_over_the_source():
    table, store, shards = await copied(20_000)
    store.calls.clear()

    found, _ = await compared(table, store, shards, some=1280)

    looked = sorted(key for _, keys in store.calls for key in keys)
    assert (found.compared, found.is_all) == (1280, False)
    gaps = [int(after[1:]) - int(before[1:]) for before, after in pairwise(looked)]
    assert max(gaps) < 200


async def test_a_sample_of_more_rows_than_there_are_is_all_of_them_once():
    table, store, shards = await copied(50)
    await store.delete_many(["k00049"])

    found, findings = await compared(table, store, shards, some=3000)

    assert (found.compared, findings) == (50, told(["k00049"], "missing"))


async def test_a_sample_is_not_alarmed_by_rows_that_were_inserted():
    table, store, shards = await copied(1000)
    table.data |= {f"{key}+": "new" for key in list(table.data)[::10]}

    found, _ = await compared(table, store, shards, some=300)

    assert found.inserted > 0
    assert found.differences == 0


async def test_a_sample_sees_that_the_store_was_emptied_beside_rows_inserted():
    table, store, shards = await copied(1000)
    table.data |= {f"{key}+": "new" for key in list(table.data)[::10]}
    await store.clear()

    found, _ = await compared(table, store, shards, some=300)

    assert found.missing == found.compared


async def test_a_repair_writes_what_differs_and_leaves_nothing_to_find():
    table, store, shards = await copied(400)
    keys = sorted(table.data)
    await store.set_many(dict.fromkeys(keys[:150], "other"))
    await store.delete_many(keys[150:300])
    await sleep(10.0)

    found, findings = await compared(table, store, shards, repair=True)
    again, _ = await compared(table, store, shards)

    assert (found.wrong, found.missing, found.repaired, findings) == (150, 150, 300, [])
    assert again.differences == 0


async def test_a_repair_tells_other_caches():
    table, store, shards = await copied(20)
    await store.set_many({"k00002": "other"})
    heard = []
    other = store.peer()

    async with create_task_group() as tasks:
        tasks.start_soon(other.invalidations.listen, heard.append)
        await sleep(1.0)
        await compared(table, store, shards, repair=True, invalidations=store.invalidations)
        await sleep(1.0)
        tasks.cancel_scope.cancel()

    assert [tuple(keys) for keys in heard if keys] == [("k00002",)]


async def test_a_repair_leaves_what_a_writer_put_after_its_read():
    class Raced(Table):
        async def load_many(self, keys):
            rows = await super().load_many(keys)
            await store.set_many({"k00002": "newest"})
            return rows

    store = MemoryFarStore()
    rewriting = Rewriting(ends_of(Raced(rows_of(20)), store), spec_of(), seconds=10.0)

    rewritten = await rewriting.rewrite(["k00001", "k00002", "gone"])

    assert (rewritten.kept, rewritten.newer, rewritten.gone) == (1, 1, ("gone",))
    assert (await store.get_many(["k00002"]))["k00002"].value == "newest"


async def test_a_walk_holds_its_rate_and_can_be_stopped():
    table, store, shards = await copied(5000)
    asked = []

    async def stopped():
        asked.append(1)
        return "paused" if len(asked) == 3 else None

    ends = ends_of(table, store)
    comparison = Comparison(ends, dead=frozenset(), expires_from=inf, rewriting=None, apart=2.0, seconds=10.0)
    walk = Walk(ends, shards, comparison, rate=500.0, seconds=10.0, stopped=stopped)

    began = current_time()
    assert await walk.over_all() == "paused"
    assert comparison.compared == 2500
    assert current_time() - began == pytest.approx(5.0)


async def test_a_walk_books_its_rows_and_waits_for_a_budget_that_does_not_answer(caplog):
    table, store, shards = await copied(5000)
    budget, wanted = MemoryReadBudget(), [None]

    async def stopped():
        return wanted[0]

    ends = ends_of(table, store, budget=budget)
    comparison = Comparison(ends, dead=frozenset(), expires_from=inf, rewriting=None, apart=2.0, seconds=10.0)
    walk = Walk(ends, shards, comparison, rate=300.0, seconds=10.0, stopped=stopped)
    said = []

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: _walked(walk, said))
        await sleep(3.0)
        budget.link.fail()
        await sleep(20.0)
        assert comparison.compared <= 300.0 * 3.0 + 2 * 1000
        budget.link.recover()
        await sleep(5.0)
        assert budget.rows == comparison.compared >= 3000
        budget.link.fail()
        await sleep(5.0)
        wanted[0] = "paused"
        await sleep(1.0)
        assert said == ["paused"]
    assert "the verification waits: the budget of reads does not answer: " in caplog.text


async def _walked(walk, said):
    said.append(await walk.over_all())


async def test_a_sample_that_is_stopped_leaves_no_generator_open():
    # trio warns of one that is left to the garbage collector.
    table, store, shards = await copied(5000)

    async def stopped():
        return "paused"

    ends = ends_of(table, store)
    comparison = Comparison(ends, dead=frozenset(), expires_from=inf, rewriting=None, apart=2.0, seconds=10.0)
    walk = Walk(ends, shards, comparison, rate=None, seconds=10.0, stopped=stopped)

    assert await walk.over_some(3000) == "paused"
    assert 0 < comparison.compared < 3000


async def test_a_missing_row_whose_key_cannot_come_back_is_found_under_its_text():
    @dataclass(frozen=True)
    class Seat:
        row: int

    rows = {Seat(1): "here", Seat(2): "gone"}
    store = MemoryFarStore()
    await store.set_many({Seat(1): "here"})
    ends = ends_of(Table(rows), store)
    comparison = Comparison(ends, dead=frozenset(), expires_from=inf, rewriting=None, apart=2.0, seconds=10.0)
    failed = {Seat(3): Failed(ValueError("no value"))}
    await comparison.add(RowPage(rows, cursor=2, failed=failed))
    await comparison.finish()

    assert comparison.missing == 1
    assert [(unpack(key), kind) for key, kind in comparison.findings()] == [(key_text(Seat(2)), "missing")]
