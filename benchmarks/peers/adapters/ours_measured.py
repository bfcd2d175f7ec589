"""Adapter for this project's cache with its metrics for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from async_backfill.prometheus import CacheMetrics
from benchmarks.peers.adapters.ours import Fifo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.events import Observer


class Measured(Fifo):
    """FIFO, whose figures are in a registry of Prometheus: a hit does nothing for it, a miss is timed."""

    title = "async_backfill FIFO, Prometheus"
    has_get_many = False
    has_peek = False
    has_put_many = False

    def observers(self) -> Sequence[Observer]:
        """Return the metrics."""
        return (CacheMetrics(CollectorRegistry()),)
