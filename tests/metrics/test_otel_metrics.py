"""What OpenTelemetry is told: the figures of Prometheus, under names that its exporters make those of."""

from __future__ import annotations

import pytest
from anyio import current_time, sleep
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from async_backfill import BackfillCache, FarTier, FreshnessPolicy, MappingSource, otel, prometheus
from async_backfill.jobs import Jobs
from async_backfill.testing import MemoryFarStore
from tests.metrics.scraped import families, samples
from tests.metrics.test_job_metrics import WatchedJob

pytestmark = pytest.mark.anyio

ROWS = {number: number for number in range(100)}


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader):
    return MeterProvider([reader], resource=Resource.create({}), shutdown_on_exit=False)


def instruments(reader):
    data = reader.get_metrics_data()
    scopes = [] if data is None else [it for each in data.resource_metrics for it in each.scope_metrics]
    return [(scope.scope, metric) for scope in scopes for metric in scope.metrics]


def family_of(metric):
    """The name of its family in Prometheus, as the exporters of OpenTelemetry make it."""
    return metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")


def collected(reader):
    """Return all values, under the names that they have in Prometheus."""
    found = {}
    for _, metric in instruments(reader):
        name = family_of(metric).removeprefix("async_backfill_")
        for point in metric.data.data_points:
            labels = sorted(point.attributes.items())
            if isinstance(point, HistogramDataPoint):
                found[f"{name}_sum", *labels] = point.sum
                found[f"{name}_count", *labels] = point.count
            else:
                is_counter = getattr(metric.data, "is_monotonic", False)
                found[f"{name}_total" if is_counter else name, *labels] = point.value
    return found


def scraped(registry):
    """Return what Prometheus is told itself, but for buckets, and histograms in which there is nothing."""
    found = samples(registry)
    empty = {
        (key[0].removesuffix("_count") + ending, *key[1:])
        for key, value in found.items()
        for ending in ("_count", "_sum")
        if key[0].endswith("_count") and not value
    }
    left = {key: value for key, value in found.items() if key not in empty}
    return {key: value for key, value in left.items() if not key[0].endswith("_bucket")}


async def test_opentelemetry_has_the_figures_of_caches_that_prometheus_has(reader, provider, registry):
    metrics = [otel.CacheMetrics(provider), prometheus.CacheMetrics(registry)]
    freshness = FreshnessPolicy(ttl=5.0, stale_for=50.0, stale_wait=0.0)
    caches = [
        BackfillCache(
            MappingSource(ROWS),
            name=name,
            observers=metrics,
            freshness=freshness,
            far=far,
            clock=current_time,
        )
        for name, far in (("one", None), ("two", FarTier(store=MemoryFarStore())))
    ]
    for cache in caches:
        async with cache:
            await cache.get_many([1, 2, 1000])
            await cache.get(1)
            await cache.get(3)
            await sleep(10.0)
            await cache.get(1)

    assert collected(reader) == scraped(registry)
    for result in ("hit", "stale"):
        assert collected(reader)["lookups_total", ("cache", "two"), ("result", result)] == 1


async def test_opentelemetry_has_the_figures_of_jobs_that_prometheus_has(state, reader, provider, registry):
    metrics, jobs = [otel.JobMetrics(provider), prometheus.JobMetrics(registry)], Jobs(state)
    job = WatchedJob(state, *metrics, rows=1_000)
    await job.work()
    for each in metrics:
        await each.look(jobs)

    assert collected(reader) == scraped(registry)
    assert ("job_page_duration_seconds_count", ("job_name", "shop")) in collected(reader)


async def test_each_instrument_says_what_it_is_as_its_family_in_prometheus_does(reader, provider, registry):
    metrics = [otel.CacheMetrics(provider), prometheus.CacheMetrics(registry)]
    async with BackfillCache(MappingSource(ROWS), name="p", observers=metrics) as cache:
        await cache.get(1)
    told = {name: family.documentation for name, family in families(registry).items()}

    assert [scope.name for scope, _ in instruments(reader)][:1] == ["async_backfill"]
    for _, metric in instruments(reader):
        assert told[family_of(metric)] == metric.description


async def test_histograms_have_the_buckets_that_prometheus_has(reader, provider, registry):
    metrics = [otel.CacheMetrics(provider), prometheus.CacheMetrics(registry)]
    async with BackfillCache(MappingSource(ROWS), name="p", observers=metrics) as cache:
        await cache.get(1)
    (wait,) = (metric for _, metric in instruments(reader) if metric.name == "async_backfill.wait.duration")
    bounds = [
        float(dict(key[1:])["le"]) for key in samples(registry) if key[0] == "wait_duration_seconds_bucket"
    ]

    assert [*wait.data.data_points[0].explicit_bounds, float("inf")] == bounds


async def test_without_an_sdk_nothing_is_collected_and_nothing_said(caplog):
    async with BackfillCache(MappingSource(ROWS), name="p", observers=[otel.CacheMetrics()]) as cache:
        assert await cache.get(1) == 1

    assert caplog.records == []
