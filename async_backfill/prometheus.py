"""Metrics of caches and jobs for Prometheus; needs the extra ``prometheus``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._common.extras import needed_by
from async_backfill._metrics.measured import MeasuredCaches
from async_backfill._metrics.measured_jobs import MeasuredJobs
from async_backfill._metrics.of_caches import CACHE, FACTS, TIMINGS
from async_backfill._metrics.of_jobs import FACTS as JOB_FACTS
from async_backfill._metrics.of_jobs import JOB, PAGE, READABLE, THROTTLED
from async_backfill.errors import ConfigurationError

with needed_by("async_backfill.prometheus", "prometheus", "prometheus_client"):
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from async_backfill._metrics.facts import Fact, Timing
    from async_backfill._metrics.measured_jobs import ListsJobs

__all__ = ["CacheMetrics", "JobMetrics", "exposition_of"]


class CacheMetrics(MeasuredCaches):
    """Metrics of all caches that have this among their observers; ``async_backfill_...{cache="name"}``.

    ``metrics = CacheMetrics()``, then ``BackfillCache(..., name="products", observers=[metrics])``. One
    serves any number of caches, each with a name of its own, also those that are made later. A hit costs no
    more than without; whoever collects reads the `Stats` of each cache, in constant time.

    :param registry: where they are registered; by default that of ``prometheus_client``.
    :raises ConfigurationError: when ``registry`` has metrics of caches already.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__()
        self._histograms = _histograms(TIMINGS, CACHE)
        _register(registry, self, "CacheMetrics")

    def describe(self) -> Iterator[Metric]:
        """Return the metrics without values."""
        yield from (_family(fact, CACHE, ()) for fact in FACTS)
        yield from _described(self._histograms)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they are now."""
        now = self._now()
        yield from (_family(fact, CACHE, self._values(fact, now)) for fact in FACTS)
        yield from _collected(self._histograms)

    def _recorder(self, timing: Timing, *labels: str) -> Callable[[float], object]:
        return self._histograms[timing].labels(*labels).observe


class JobMetrics(MeasuredJobs):
    """Metrics of the jobs of one state; ``async_backfill_job_...{job_name="name"}``.

    ``Jobs(..., observers=[metrics])`` tells it how long pages and waits of the workers in this process took.
    All else it reads from the state, of the jobs of all processes, by `look` or in the block of `following`.

    :param registry: where they are registered; by default that of ``prometheus_client``.
    :raises ConfigurationError: when ``registry`` has metrics of jobs already.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__()
        self._pages = _histograms([PAGE], JOB)
        self._throttled = Counter(THROTTLED.series, THROTTLED.text, (JOB, *THROTTLED.labels), registry=None)
        _register(registry, self, "JobMetrics")

    def describe(self) -> Iterator[Metric]:
        """Return the metrics without values."""
        yield from (_family(fact, JOB, ()) for fact in JOB_FACTS)
        yield GaugeMetricFamily(READABLE.family, READABLE.text)
        yield from _described(self._pages)
        yield from self._throttled.describe()

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they are now."""
        yield from (_family(fact, JOB, self._values(fact)) for fact in JOB_FACTS)
        yield GaugeMetricFamily(READABLE.family, READABLE.text, value=float(self._is_readable))
        yield from _collected(self._pages)
        yield from self._throttled.collect()

    def _page(self, job: str, seconds: float) -> None:
        self._pages[PAGE].labels(job).observe(seconds)

    def _waited(self, job: str, reason: str, seconds: float) -> None:
        self._throttled.labels(job, reason).inc(seconds)


def exposition_of(jobs: ListsJobs) -> Callable[[], Awaitable[bytes]]:
    """Return a function that tells Prometheus of ``jobs`` as they are when it is called.

    ``Application(jobs=jobs, metrics=exposition_of(jobs))``; it has a registry of its own, with nothing else.
    """
    registry = CollectorRegistry()
    metrics = JobMetrics(registry)

    async def exposition() -> bytes:
        await metrics.look(jobs)
        return generate_latest(registry)

    return exposition


def _histograms(timings: Iterable[Timing], owner: str) -> dict[Timing, Histogram]:
    return {
        timing: Histogram(
            timing.family, timing.text, (owner, *timing.labels), buckets=timing.buckets, registry=None
        )
        for timing in timings
    }


def _described(histograms: Mapping[Any, Histogram]) -> Iterator[Metric]:
    for histogram in histograms.values():
        yield from histogram.describe()


def _collected(histograms: Mapping[Any, Histogram]) -> Iterator[Metric]:
    for histogram in histograms.values():
        yield from histogram.collect()


def _family(fact: Fact[Any], owner: str, values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    kind = CounterMetricFamily if fact.kind == "counter" else GaugeMetricFamily
    family = kind(fact.family, fact.text, labels=(owner, *fact.labels))
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _register(registry: CollectorRegistry, collector: Any, what: str) -> None:
    try:
        registry.register(collector)
    except ValueError as error:
        problem = f"has a {what} already: use that one, which serves any number, or pass another registry"
        raise ConfigurationError("registry", problem) from error
