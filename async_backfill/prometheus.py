"""Prometheus: metrics of caches and jobs."""

from __future__ import annotations

from async_backfill._common.extras import needed_by

with needed_by("async_backfill.prometheus", "prometheus", "prometheus_client"):
    from prometheus_client import REGISTRY

__all__ = ["REGISTRY"]
