"""OpenTelemetry: metrics of caches and jobs, by its API alone, so that nothing happens without an SDK."""

from async_backfill._common.extras import needed_by

with needed_by("async_backfill.otel", "otel", "opentelemetry"):
    from async_backfill.otel._metrics import CacheMetrics, JobMetrics

__all__ = ["CacheMetrics", "JobMetrics"]
