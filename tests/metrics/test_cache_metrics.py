"""What Prometheus is told of caches: the figures of their statistics, and the seconds of loads and waits."""

from __future__ import annotations

import gc

import pytest
from anyio import create_task_group, sleep

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CircuitPolicy,
    ConfigurationError,
    FarTier,
    FreshnessPolicy,
    LoadError,
    LoadPolicy,
    MappingSource,
    SimulatedSource,
    Status,
    WeighedStore,
)
from async_backfill.prometheus import CacheMetrics
from async_backfill.stores.snapshot_file import SnapshotFile
from async_backfill.testing import ManualClock, MemoryFarStore
from tests.metrics.scraped import families, samples, values

pytestmark = pytest.mark.anyio

ROWS = {number: number for number in range(100)}
LOOKING = BackfillPolicy(probation=True, min_lookups=1_000_000)


class Flaky(MappingSource):
    fails = False

    async def load_many(self, keys):
        if self.fails:
            raise ConnectionError("down")
        return await super().load_many(keys)


def expected(stats):
    """The figures of ``stats`` as a scrape must have them, but for the histograms."""
    said = {
        ("lookups_total", ("result", "hit")): stats.hits - stats.stale,
        ("lookups_total", ("result", "stale")): stats.stale,
        ("lookups_total", ("result", "miss")): stats.misses,
        ("misses_led_total",): stats.led,
        ("misses_absent_total",): stats.absent,
        ("misses_failed_total",): stats.failed,
        ("source_keys_total", ("cause", "miss")): stats.miss_keys,
        ("source_keys_total", ("cause", "refresh")): stats.refresh_keys,
        ("source_keys_total", ("cause", "backfill")): stats.backfill_keys,
        ("source_calls_abandoned",): stats.abandoned,
        ("keys",): stats.size,
        ("keys_loading",): stats.in_flight,
        ("weight",): stats.weight,
        ("evictions_total",): stats.evictions,
        ("expirations_total",): stats.expirations,
        ("unkept_total",): stats.unkept,
        ("unremembered_total",): stats.unremembered,
        ("backfills_total", ("status", "started")): stats.backfills,
        ("backfills_total", ("status", "completed")): stats.backfills_completed,
        ("backfills_total", ("status", "failed")): stats.backfills_failed,
        ("backfills_total", ("status", "cancelled")): stats.backfills_cancelled,
        ("backfills_total", ("status", "skipped")): stats.backfills_skipped,
        ("backfills_total", ("status", "denied")): stats.backfills_denied,
        ("backfill_keys_total",): stats.backfill_keys,
        ("backfill_keys_read_total",): stats.backfill_keys_read,
        ("scan_pages_total", ("outcome", "ok")): stats.scans - stats.scans_failed,
        ("scan_pages_total", ("outcome", "failed")): stats.scans_failed,
        ("scan_keys_total",): stats.scanned_keys,
        ("permits_left",): stats.permits_left,
        ("needs_approval",): float(stats.budget == "needs_approval"),
        ("audit_dropped_total",): stats.audit_dropped,
    }
    for cause, count in stats.first_causes.items():
        said["misses_total", ("cause", str(cause))] = count
    for cause, count in stats.calls.items():
        failed = stats.calls_failed[cause]
        said["source_calls_total", ("cause", str(cause)), ("outcome", "ok")] = count - failed
        said["source_calls_total", ("cause", str(cause)), ("outcome", "failed")] = failed
    for state in ("warming", "ready", "gave_up"):
        if stats.readiness is not None:
            said["readiness_state", ("state", state)] = float(state == stats.readiness)
    far = stats.far
    for circuit, now in (("source", stats.circuit), ("far_tier", far and far.circuit)):
        for state in ("closed", "open", "half_open"):
            said["circuit_state", ("circuit", circuit), ("state", state)] = now and float(state == now)
    if far is not None:
        said["far_lookups_total", ("result", "hit")] = far.hits
        said["far_lookups_total", ("result", "miss")] = far.misses
        said["far_writes_total", ("outcome", "written")] = far.written
        said["far_writes_total", ("outcome", "unwritten")] = far.unwritten
        said["far_leases_unreleased_total",] = far.unreleased
        for what, count in far.calls.items():
            failed = far.calls_failed.get(what, 0)
            said["far_calls_total", ("operation", what), ("outcome", "ok")] = count - failed
            said["far_calls_total", ("operation", what), ("outcome", "failed")] = failed
    if stats.snapshot is not None:
        said["snapshots_total", ("outcome", "saved")] = stats.snapshot.saved
        said["snapshots_total", ("outcome", "failed")] = stats.snapshot.failed
    return {key: value for key, value in said.items() if value is not None}


def scraped(registry, name):
    """The samples of a cache, but for those of the histograms."""
    return {key: value for key, value in samples(registry, cache=name).items() if "_duration_" not in key[0]}


async def look_around(cache, source, clock):
    """Hit, miss, put, evict, expire, refresh, fail and ask for what is not there."""
    for key in (1, 2, 3, 4, 1, 4, 5000):
        await cache.get(key)
    await cache.get_many([4, 50, 51, 6000])
    await cache.put(7, 7)
    await cache.invalidate(7)
    clock.advance(6.0)
    await cache.get(50)
    await cache.settle()
    clock.advance(100.0)
    source.fails = True
    for key in (60, 60):
        with pytest.raises(LoadError):
            await cache.get(key)
    source.fails = False


@pytest.mark.parametrize("kind", ["plain", "probation", "history", "weighed", "far", "snapshot"])
async def test_a_scrape_has_each_figure_of_the_statistics_and_no_other(registry, kind, tmp_path):
    source, clock = Flaky(ROWS), ManualClock()
    settings = {
        "plain": {"capacity": 4, "max_backfills": 0},
        "probation": {"capacity": 4, "backfill": LOOKING, "scan": source},
        "history": {"capacity": 9, "backfill": BackfillPolicy(selection="history"), "scan": source},
        "weighed": {"store": WeighedStore(5, lambda *_: 1)},
        "far": {"capacity": 4, "far": FarTier(store=MemoryFarStore())},
        "snapshot": {"capacity": 4, "snapshot": SnapshotFile(tmp_path / "snapshot")},
    }[kind]
    cache = BackfillCache(
        source,
        name=kind,
        observers=[CacheMetrics(registry)],
        load=LoadPolicy(circuit=CircuitPolicy(failures=1)),
        freshness=FreshnessPolicy(ttl=5.0, stale_for=50.0, stale_wait=0.0),
        clock=clock,
        **settings,
    )
    assert scraped(registry, kind) == expected(cache.stats)
    async with cache:
        await look_around(cache, source, clock)
        if "scan" in settings:
            assert (await cache.force_backfill()).status is not Status.FAILED
        if kind == "history":
            assert cache.is_ready()

        assert scraped(registry, kind) == expected(cache.stats)
    assert scraped(registry, kind) == expected(cache.stats)
    assert cache.stats.stale > 0


async def test_no_counter_goes_down_while_misses_turn_out_to_be_absent(registry):
    source = SimulatedSource(ROWS, latency=1.0)
    async with BackfillCache(
        source, capacity=4, name="p", backfill=LOOKING, observers=[CacheMetrics(registry)]
    ) as cache:
        async with create_task_group() as tasks:
            for key in (1000, 1001, 1002):
                tasks.start_soon(cache.get, key)
            await sleep(0.5)
            loading = values(registry, "misses_total", cache="p")
        ended = values(registry, "misses_total", cache="p")

    assert loading["cold"] == ended["cold"] == cache.stats.first_causes["cold"] == 3
    assert cache.stats.miss_causes == {"absent": 3} | dict.fromkeys(
        ("cold", "evicted", "expired", "failed", "invalidated"), 0
    )


async def test_what_another_thread_reads_half_counted_makes_no_counter_go_down(registry):
    cache = BackfillCache(MappingSource(ROWS), name="p", observers=[CacheMetrics(registry)])
    cache._parts.counters.hits = 10
    assert values(registry, "lookups_total", cache="p")["hit"] == 10
    cache._parts.counters.stale = 2  # and not yet the hits that these are

    assert values(registry, "lookups_total", cache="p")["hit"] == 10


async def test_a_cache_may_be_made_while_another_thread_scrapes(registry):
    class Compared(str):
        """A name in whose comparison the other thread has its turn."""

        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            values(registry, "lookups_total", cache="q")
            return str.__eq__(self, other)

    metrics = CacheMetrics(registry)
    first = BackfillCache(MappingSource(ROWS), name="p", observers=[metrics])
    values(registry, "lookups_total", cache="p")
    second = BackfillCache(MappingSource(ROWS), name="q", observers=[metrics])
    third = BackfillCache(MappingSource(ROWS), name=Compared("r"), observers=[metrics])

    assert [values(registry, "keys", cache=name) for name in "pqr"] == [0, 0, 0]
    del first, second, third


async def test_a_cache_without_a_name_is_told_that_metrics_need_one(registry):
    with pytest.raises(ConfigurationError, match=r"^name: is None, .* pass name=\.\.\."):
        BackfillCache(MappingSource(ROWS), observers=[CacheMetrics(registry)])


async def test_two_caches_with_one_name_are_refused_while_both_are_there(registry):
    metrics = CacheMetrics(registry)
    cache = BackfillCache(MappingSource(ROWS), name="p", observers=[metrics])
    with pytest.raises(ConfigurationError, match="name: 'p' is that of another cache"):
        BackfillCache(MappingSource(ROWS), name="p", observers=[metrics])
    async with cache:
        await cache.get(1)
    assert values(registry, "keys", cache="p") == 1
    del cache
    again = BackfillCache(MappingSource(ROWS), name="p", observers=[metrics])

    assert values(registry, "lookups_total", cache="p")["miss"] == again.stats.misses == 0


async def test_a_registry_that_has_metrics_of_caches_says_to_use_those(registry):
    CacheMetrics(registry)
    with pytest.raises(ConfigurationError, match="registry: has a CacheMetrics already"):
        CacheMetrics(registry)


async def test_metrics_keep_no_cache_alive_and_tell_nothing_of_one_that_is_gone(registry):
    metrics = CacheMetrics(registry)
    cache = BackfillCache(MappingSource(ROWS), name="p", observers=[metrics])
    assert values(registry, "keys", cache="p") == 0
    del cache
    gc.collect()

    assert ("keys",) not in samples(registry, cache="p")


async def test_no_series_has_a_label_of_a_key(registry):
    async with BackfillCache(
        MappingSource({"secret-key": "secret-value"}), name="p", observers=[CacheMetrics(registry)]
    ) as cache:
        await cache.get("secret-key")
        await cache.get("other-secret")

    closed = {"cache", "result", "cause", "outcome", "status", "circuit", "state", "operation", "le"}
    for family in families(registry).values():
        for sample in family.samples:
            assert set(sample.labels) <= closed
            assert "secret" not in str(sample)
