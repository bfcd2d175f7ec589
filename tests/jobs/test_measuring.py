"""What a plan and a dry run measure of a real store."""

from __future__ import annotations

import pytest

from async_backfill._jobs._packing import unpack
from async_backfill._jobs._planning.dry_run import dry_run
from async_backfill._jobs._planning.estimate import estimate
from async_backfill._jobs._planning.measuring import measure
from async_backfill._jobs._spec import JobSettings
from async_backfill.outcomes import Failed
from async_backfill.stores.sqlite import SQLiteStore
from tests.jobs.table import Facts, Table, ends_of, rows_of, spec_of
from tests.real_time import anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path):
    async with SQLiteStore(tmp_path / "cache.db", namespace="shop") as store:
        yield store


async def test_a_plan_has_rows_bytes_shards_and_what_is_there_and_writes_nothing(store):
    table = Table(rows_of(2000))
    await store.set_many(dict(list(table.data.items())[::2]))

    plan = await measure(spec_of(shards=4), ends_of(table, store, Facts(1000, 1_000_000)))

    assert (plan.rows, plan.rows_by, plan.schema) == (2000, "counted", table.columns)
    assert [unpack(cut) for cut in plan.cuts] == ["k00499", "k00999", "k01499"]
    assert plan.present == 0.5
    assert 20 < plan.row_bytes < 100
    assert (plan.store_bytes, plan.store_limit) == (1000, 1_000_000)
    assert len(await store.get_many(list(table.data))) == 1000


async def test_an_estimate_has_the_memory_after_it_and_the_time_at_its_rate(store):
    spec = spec_of(settings=JobSettings(rate=50.0))
    plan = await measure(spec, ends_of(Table(rows_of(1000)), store, Facts(500_000, 1_000_000)))

    cost = estimate(plan)

    assert cost.seconds == 20.0
    assert cost.bytes == round(1000 * plan.row_bytes)
    assert cost.store_after == 500_000 + round(1000 * (plan.row_bytes + 80))
    assert cost.store_share == cost.store_after / 1_000_000


async def test_a_dry_run_tells_what_would_be_and_writes_nothing(store):
    table = Table(rows_of(100))
    await store.set_many({"k00000": "value 0", "k00001": "old"})
    table.data["k00050"] = object()
    table.data["k00060"] = Failed(ValueError("no price"))
    ends = ends_of(table, store)
    plan = await measure(spec_of(shards=3, settings=JobSettings(rate=10.0)), ends)

    ran = await dry_run(plan, ends)

    assert (ran.rows, ran.present, ran.same, ran.rejected, ran.dead) == (100, 2, 1, 1, 1)
    assert set(ran.bad) == {"k00050", "k00060"}
    assert "no price" in ran.bad["k00060"]
    assert ran.bytes > 100 * 20
    assert ran.eta_seconds is not None
    assert ran.eta_seconds >= 10.0
    assert len(await store.get_many(list(table.data))) == 2


async def test_a_dry_run_reads_no_more_rows_than_asked_for_from_each_shard(store):
    ends = ends_of(Table(rows_of(1000)), store)
    plan = await measure(spec_of(shards=4), ends)

    assert (await dry_run(plan, ends, most=100)).rows == 100
