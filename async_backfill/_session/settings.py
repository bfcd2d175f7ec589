"""The settings of one cache, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from async_backfill._common.validation import text, whole, whole_or_none
from async_backfill.contracts import ExclusiveJournal, K, V
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.backfill.readiness import ReadinessPolicy
    from async_backfill.contracts import (
        AuditSink,
        BoundedStore,
        Clock,
        ControlChannel,
        Journal,
        Permits,
        Scan,
        Source,
        Tracer,
        Trigger,
    )
    from async_backfill.events import Observer
    from async_backfill.far_tier import FarTier
    from async_backfill.policies import BackfillPolicy, FreshnessPolicy, HistoryPolicy, LoadPolicy
    from async_backfill.stores._eviction.orders import Eviction
    from async_backfill.stores.snapshot_file import SnapshotFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Generic[K, V]):
    """What a user asked for: the parameters of `BackfillCache`, which documents them.

    They travel as one value; each is read where the part that needs it is made.

    :raises ConfigurationError: when two settings contradict each other, or a number is out of range.
    """

    name: str | None
    fingerprint: str | None
    source: Source[K, V]
    scan: Scan[K] | None
    capacity: int | None
    eviction: Eviction
    miss_threshold: float
    backfill_batch: int | None
    max_backfills: int | None
    permits: Permits | None
    control: ControlChannel | None
    load: LoadPolicy
    freshness: FreshnessPolicy
    backfill: BackfillPolicy
    history: HistoryPolicy
    journal: Journal[K] | None
    readiness: ReadinessPolicy
    far: FarTier[K, V] | None
    trigger: Trigger | None
    store: BoundedStore[K, V] | None
    snapshot: SnapshotFile[K, V] | None
    copy: Callable[[V], V] | None
    audit_sink: AuditSink | None
    audit_keep: int
    observers: tuple[Observer, ...]
    tracing: Tracer | None
    clock: Clock
    wall_clock: Clock

    @property
    def exclusive_journal(self) -> ExclusiveJournal | None:
        """The journal, if its class inherits from `ExclusiveJournal`."""
        journal: object = self.journal
        return journal if ExclusiveJournal in type(journal).__mro__ else None  # type: ignore[return-value] # declared

    def __post_init__(self) -> None:
        if self.store is not None and self.capacity is not None:
            raise ConfigurationError("capacity", "belongs to the store; set it there, not here as well")
        if self.permits is not None and self.max_backfills is not None:
            raise ConfigurationError(
                "max_backfills", "belongs to the permits; set it there, not here as well"
            )
        if self.readiness.warm_on_open and self.backfill.selection != "history":
            raise ConfigurationError("warm_on_open", "needs BackfillPolicy(selection='history')")
        if self.copy is not None and not callable(self.copy):
            problem = f"must be a function such as copy.deepcopy, or None, not {self.copy!r}"
            raise ConfigurationError("copy", problem)
        if self.tracing is not None and not callable(getattr(self.tracing, "collects", None)):
            problem = f"must be a Tracer such as async_backfill.otel.Tracing(), or None, not {self.tracing!r}"
            raise ConfigurationError("tracing", problem)
        if self.name is not None:
            text("name", self.name)
        if self.fingerprint is not None:
            text("fingerprint", self.fingerprint)
        if self.far is not None and self.freshness.ttl_of is not None:
            raise ConfigurationError(
                "ttl_of", "other readers of the far tier would not know it; use ttl there"
            )
        whole("audit_keep", self.audit_keep, least=1)
        whole_or_none("backfill_batch", self.backfill_batch, least=1)
