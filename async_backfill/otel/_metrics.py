"""The metrics of caches and jobs as instruments of OpenTelemetry."""

from __future__ import annotations

from opentelemetry.metrics import get_meter

__all__ = ["CacheMetrics", "JobMetrics"]


class CacheMetrics:
    """The figures of caches."""

    def __init__(self) -> None:
        self._meter = get_meter("async_backfill")


class JobMetrics:
    """The figures of jobs."""

    def __init__(self) -> None:
        self._meter = get_meter("async_backfill")
