"""The settings that the decorator takes besides its own: those of a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from async_backfill.backfill.readiness import ReadinessPolicy
    from async_backfill.contracts import (
        AuditSink,
        BoundedStore,
        Clock,
        ControlChannel,
        Journal,
        Permits,
        Scan,
        Tracer,
        Trigger,
    )
    from async_backfill.events import Observer
    from async_backfill.far_tier import FarTier
    from async_backfill.policies import BackfillPolicy, FreshnessPolicy, HistoryPolicy, LoadPolicy
    from async_backfill.stores._eviction.orders import Eviction
    from async_backfill.stores.snapshot_file import SnapshotFile


class CacheSettings(TypedDict, total=False):
    """The parameters of `BackfillCache`, which documents them, without the source."""

    scan: Scan[Any] | None
    capacity: int | None
    eviction: Eviction
    miss_threshold: float
    backfill_batch: int | None
    max_backfills: int | None
    permits: Permits | None
    control: ControlChannel | None
    load: LoadPolicy | None
    freshness: FreshnessPolicy | None
    backfill: BackfillPolicy | None
    history: HistoryPolicy | None
    journal: Journal[Any] | None
    readiness: ReadinessPolicy | None
    far: FarTier[Any, Any] | None
    trigger: Trigger | None
    store: BoundedStore[Any, Any] | None
    snapshot: SnapshotFile[Any, Any] | None
    copy: Callable[[Any], Any] | None
    audit_sink: AuditSink | None
    audit_keep: int
    observers: Iterable[Observer]
    tracing: Tracer | None
    clock: Clock
    wall_clock: Clock
    name: str | None
    fingerprint: str | None
