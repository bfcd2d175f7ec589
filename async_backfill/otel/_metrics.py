"""The metrics of caches and jobs as instruments of OpenTelemetry."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.metrics import Observation, get_meter

from async_backfill._metrics.measured import MeasuredCaches
from async_backfill._metrics.measured_jobs import MeasuredJobs
from async_backfill._metrics.of_caches import CACHE, FACTS, TIMINGS
from async_backfill._metrics.of_jobs import FACTS as JOB_FACTS
from async_backfill._metrics.of_jobs import JOB, PAGE, READABLE, THROTTLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider

    from async_backfill._metrics.facts import Fact, Metric, Timing
    from async_backfill.stats import Stats

__all__ = ["CacheMetrics", "JobMetrics"]

_SCOPE: Final = "async_backfill"


class CacheMetrics(MeasuredCaches):
    """Metrics of all caches that have this among their observers; ``async_backfill...``, ``cache="name"``.

    ``metrics = CacheMetrics()``, once in a process, then ``BackfillCache(..., name="products",
    observers=[metrics])`` for any number of caches, each with a name of its own. A hit costs no more than
    without; whoever collects reads the `Stats` of each cache, in constant time. Without an SDK nothing is
    collected, and one that is set later is used from then on.

    :param meter_provider: where the instruments are made; by default that of the process.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        super().__init__()
        meter = _meter(meter_provider)
        for fact in FACTS:
            _observe(meter, fact, CACHE, partial(self._observed, fact))
        self._histograms = {timing: _histogram(meter, timing) for timing in TIMINGS}

    def _observed(self, fact: Fact[Stats]) -> Iterator[tuple[tuple[str, ...], float]]:
        return self._values(fact, self._now())

    def _recorder(self, timing: Timing, *labels: str) -> Callable[[float], object]:
        record = self._histograms[timing].record
        attributes = dict(zip((CACHE, *timing.labels), labels, strict=True))
        return lambda seconds: record(seconds, attributes)


class JobMetrics(MeasuredJobs):
    """Metrics of the jobs of one state; ``async_backfill.job...``, ``job_name="name"``.

    ``Jobs(..., observers=[metrics])`` tells it how long pages and waits of the workers in this process took.
    All else it reads from the state, of the jobs of all processes, by `look` or in the block of `following`.

    :param meter_provider: where the instruments are made; by default that of the process.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        super().__init__()
        meter = _meter(meter_provider)
        for fact in JOB_FACTS:
            _observe(meter, fact, JOB, partial(self._values, fact))
        _observe(meter, READABLE, None, lambda: [((), float(self._is_readable))])
        self._pages = _histogram(meter, PAGE)
        self._throttled = meter.create_counter(THROTTLED.otel_name, THROTTLED.unit, THROTTLED.text)

    def _page(self, job: str, seconds: float) -> None:
        self._pages.record(seconds, {JOB: job})

    def _waited(self, job: str, reason: str, seconds: float) -> None:
        self._throttled.add(seconds, {JOB: job, "reason": reason})


def _meter(provider: MeterProvider | None) -> Meter:
    return get_meter(_SCOPE, version("async-backfill"), provider)


def _histogram(meter: Meter, timing: Timing) -> Histogram:
    return meter.create_histogram(
        timing.otel_name, timing.unit, timing.text, explicit_bucket_boundaries_advisory=timing.buckets
    )


def _observe(
    meter: Meter, metric: Metric, owner: str | None, values: Callable[[], Iterable[tuple[Any, float]]]
) -> None:
    names = (*(() if owner is None else (owner,)), *metric.labels)

    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for labels, value in values():
            yield Observation(value, dict(zip(names, labels, strict=True)))

    make = meter.create_observable_counter if metric.kind == "counter" else meter.create_observable_gauge
    make(metric.otel_name, [observe], metric.unit, metric.text)
