"""What a module makes at its top, before any event loop runs: each public class, a cache of each setting."""

from __future__ import annotations

import importlib

import anyio
import pytest

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CacheRegistry,
    CircuitPolicy,
    FarTier,
    FreshnessPolicy,
    HistoryPolicy,
    LoadPolicy,
    MappingSource,
    MemoryStore,
    ReadinessPolicy,
    SimulatedSource,
    WeighedStore,
    cached,
    each,
)
from async_backfill.backfill.audit_file import AuditFile
from async_backfill.backfill.budget import BackfillBudget
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.backfill.trigger import MissRateTrigger
from async_backfill.sources.file import FileSource
from async_backfill.sources.typed import TypedScan, TypedSource
from async_backfill.stores.snapshot_file import SnapshotFile
from async_backfill.stores.sqlite import SQLiteStore
from async_backfill.testing import (
    GatedSource,
    MemoryControl,
    MemoryFarStore,
    MemoryPermits,
    MemoryReadBudget,
    NetworkLink,
)

ROWS = {"a": 1, "b": 2}

SETTINGS = {
    "snapshot": lambda folder: SnapshotFile(folder / "values.snapshot"),
    "journal": lambda folder: JournalFile(folder / "hot.journal"),
    "audit_sink": lambda folder: AuditFile(folder / "audit.jsonl"),
    "far": lambda folder: FarTier(store=SQLiteStore(folder / "far.sqlite", namespace="rows")),
    "freshness": lambda _: FreshnessPolicy(ttl=60.0, stale_for=60.0, absent_ttl=60.0),
    "load": lambda _: LoadPolicy(concurrency=2, circuit=CircuitPolicy()),
    "backfill": lambda _: BackfillPolicy(selection="history", successors=4),
    "history": lambda _: HistoryPolicy(),
    "readiness": lambda _: ReadinessPolicy(),
    "permits": lambda _: MemoryPermits(1),
    "control": lambda _: MemoryControl(),
    "scan": lambda _: MappingSource(ROWS),
    "store": lambda _: WeighedStore(1000, lambda *_: 1),
    "trigger": lambda _: MissRateTrigger(0.5),
    "observers": lambda _: (print,),
}
CORE = {
    "MemoryStore": lambda _: MemoryStore(10),
    "CacheRegistry": lambda _: CacheRegistry(BackfillCache(MappingSource(ROWS), name="rows")),
    "BackfillBudget": lambda _: BackfillBudget(1),
    "SimulatedSource": lambda _: SimulatedSource(ROWS),
    "each": lambda _: each(str),
    "FileSource": lambda folder: FileSource(folder / "rows.jsonl", key="id"),
    "TypedSource": lambda _: TypedSource(MappingSource(ROWS)),
    "TypedScan": lambda _: TypedScan(MappingSource(ROWS)),
    "GatedSource": lambda _: GatedSource(ROWS),
    "MemoryFarStore": lambda _: MemoryFarStore(),
    "MemoryReadBudget": lambda _: MemoryReadBudget(),
    "NetworkLink": lambda _: NetworkLink(),
}
OF_EXTRAS = {
    "sources.retrying": lambda module, _: module.RetryingSource(MappingSource(ROWS), on=ConnectionError),
    "sources.http": lambda module, _: module.HTTPSource("http://127.0.0.1/{key}"),
    "sources.parquet": lambda module, folder: module.ParquetSource(folder / "rows.parquet", key="id"),
    "jobs": lambda module, folder: module.Jobs(folder / "jobs.sqlite"),
    "admin": lambda module, _: module.Application(caches={}),
    "otel": lambda module, _: (module.CacheMetrics(), module.JobMetrics(), module.Tracing()),
    "frameworks.starlette": lambda module, _: module.lifespan(
        module.Resource("rows", lambda: BackfillCache(MappingSource(ROWS)))
    ),
    "frameworks.aiohttp": lambda module, _: module.opened("rows", lambda: BackfillCache(MappingSource(ROWS))),
    "redis": lambda module, _: of_redis(module),
}


def of_redis(redis):
    connection = redis.RedisConnection("redis://127.0.0.1:1")
    store = redis.RedisStore(connection, namespace="rows")
    return (
        redis.RedisLeases(store),
        redis.RedisControl(connection, namespace="rows"),
        redis.RedisInvalidations(connection, namespace="rows"),
        redis.RedisJournal(connection, namespace="rows"),
        redis.RedisPermits(connection, namespace="rows", max_backfills=1),
        redis.RedisReadBudget(connection, namespace="rows"),
    )


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_cache_with_each_setting_can_be_made_where_no_event_loop_runs(setting, tmp_path):
    value = SETTINGS[setting](tmp_path)

    assert len(BackfillCache(MappingSource(ROWS), **{setting: value})) == 0


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_function_with_each_setting_can_be_made_where_no_event_loop_runs(setting, tmp_path):
    @cached(**{setting: SETTINGS[setting](tmp_path)})
    async def price(item):
        return item

    assert len(price.cache) == 0


@pytest.mark.parametrize("name", CORE)
def test_a_source_or_store_can_be_made_where_no_event_loop_runs(name, tmp_path):
    assert CORE[name](tmp_path) is not None


@pytest.mark.parametrize("name", OF_EXTRAS)
def test_what_needs_an_extra_can_be_made_where_no_event_loop_runs(name, tmp_path):
    try:
        module = importlib.import_module(f"async_backfill.{name}")
    except ImportError as missing:
        pytest.skip(str(missing))

    assert OF_EXTRAS[name](module, tmp_path) is not None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cache_that_was_made_without_a_loop_saves_and_restores(backend, tmp_path):
    path = tmp_path / "values.snapshot"
    before = BackfillCache(MappingSource(ROWS), snapshot=SnapshotFile(path, restored="trusted"))
    after = BackfillCache(MappingSource(ROWS), snapshot=SnapshotFile(path, restored="trusted"))

    async def use():
        async with before:
            await before.get_many(ROWS)
        async with after:
            return await after.get("a"), after.stats.source_calls

    assert anyio.run(use, backend=backend) == (1, 0)
