"""A plan measures the ends and writes nothing; it does not hold any more when they have changed."""

from __future__ import annotations

import pytest

from async_backfill._jobs._ends import JobEnds
from async_backfill._jobs._errors import JobError, JobRefusedError
from async_backfill._jobs._packing import pack, unpack
from async_backfill._jobs._planning.changes import require_unchanged
from async_backfill._jobs._planning.measuring import measure
from async_backfill._jobs._spec import JobSettings
from async_backfill.errors import ConfigurationError
from async_backfill.testing import MemoryFarStore
from tests.jobs.table import Table, ends_of, rows_of, spec_of

pytestmark = pytest.mark.anyio


async def test_a_sample_is_a_thousand_rows_from_all_over_the_source():
    table = Table(rows_of(20_000))
    far = MemoryFarStore()

    await measure(spec_of(shards=40), ends_of(table, far))

    looked = [key for _, keys in far.calls for key in keys]
    assert 900 <= len(looked) <= 1000
    assert {key[:2] for key in looked} == {"k0", "k1"}
    assert looked[-1] > "k18"


async def test_a_cut_that_takes_too_long_is_tried_with_fewer_shards():
    table = Table(rows_of(100), slow_cuts=10)

    plan = await measure(spec_of(shards=64), ends_of(table, MemoryFarStore()), seconds=5.0)

    assert table.asked_cuts == [64, 16, 4]
    assert len(plan.cuts) == 3


async def test_a_source_that_cannot_be_cut_in_time_is_one_shard():
    table = Table(rows_of(100), slow_cuts=1)

    plan = await measure(spec_of(shards=8), ends_of(table, MemoryFarStore()), seconds=5.0)

    assert plan.cuts == ()


async def test_a_wrong_column_fails_at_once_when_it_is_cut():
    class Wrong(Table):
        async def cuts(self, shards):
            self.asked_cuts.append(shards)
            raise ConfigurationError("column", "no such column: price")

    table = Wrong(rows_of(10))

    with pytest.raises(JobError, match="no such column: price"):
        await measure(spec_of(), ends_of(table, MemoryFarStore()))
    assert table.asked_cuts == [32]


async def test_a_source_without_facts_is_planned_by_its_sample():
    table = Table(rows_of(50))

    plan = await measure(spec_of(), JobEnds(rows=table, source=table, store=MemoryFarStore()))

    assert (plan.rows, plan.rows_by, plan.schema) == (50, "at least, by a sample", None)


async def test_an_empty_source_is_planned_as_well():
    plan = await measure(spec_of(), ends_of(Table(), MemoryFarStore()))

    assert (plan.rows, plan.row_bytes, plan.present, plan.cuts) == (0, 0.0, 0.0, ())


async def test_a_plan_holds_while_the_rows_differ_by_a_fifth_and_no_further():
    table = Table(rows_of(100))
    ends = ends_of(table, MemoryFarStore())
    plan = await measure(spec_of(), ends)

    for rows in (80, 120):
        table.data = rows_of(rows)
        await require_unchanged(plan, ends)
    for rows in (79, 121):
        table.data = rows_of(rows)
        with pytest.raises(JobRefusedError, match=f"has {rows} rows, and had 100: plan the job again"):
            await require_unchanged(plan, ends)


async def test_a_plan_of_other_columns_does_not_hold():
    table = Table(rows_of(10))
    ends = ends_of(table, MemoryFarStore())
    plan = await measure(spec_of(), ends)
    table.columns = "id text, value integer"

    with pytest.raises(JobRefusedError, match="other columns"):
        await require_unchanged(plan, ends)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"source": {"kind": "test", "table": "b"}},
        {"guard": "none"},
        {"policy": "all"},
        {"ttl": 1.0},
        {"settings": JobSettings(lanes=3)},
        {"max_dead": 1},
    ],
)
async def test_a_plan_does_not_hold_for_another_job_file(change):
    ends = ends_of(Table(rows_of(10)), MemoryFarStore())
    plan = await measure(spec_of(), ends)

    await require_unchanged(plan, ends, spec=spec_of())
    with pytest.raises(JobRefusedError, match=f"{next(iter(change))} is another"):
        await require_unchanged(plan, ends, spec=spec_of(**change))


@pytest.mark.parametrize("key", ["a", 1, 1.0, True, None, b"x", ("a", 1)])
def test_a_cursor_comes_back_with_its_type(key):
    assert repr(unpack(pack(key))) == repr(key)
