"""OpenTelemetry: metrics and traces of caches and jobs, by its API alone: nothing happens without an SDK."""

from async_backfill._common.extras import needed_by

with needed_by("async_backfill.otel", "otel", "opentelemetry"):
    from async_backfill.otel._metrics import CacheMetrics, JobMetrics
    from async_backfill.otel._traces import Tracing

__all__ = ["CacheMetrics", "JobMetrics", "Tracing"]
