"""A concurrent backfill engine: a read-through cache for the minute when every request misses."""

from async_backfill._cache import BackfillCache
from async_backfill._cached.decorator import cached
from async_backfill._cached.registry import CacheRegistry
from async_backfill.backfill.readiness import Readiness, ReadinessPolicy, ReadinessState
from async_backfill.contracts import Answers
from async_backfill.errors import (
    AsyncBackfillError,
    CacheClosedError,
    CircuitOpenError,
    ConfigurationError,
    JournalError,
    KeyNotFoundError,
    KeyRefusedError,
    LoadCycleError,
    LoadError,
    LoadTimeoutError,
    MissingExtraError,
    ScenarioError,
    SnapshotError,
    StalePageError,
    StoreError,
)
from async_backfill.far_tier import FarTier
from async_backfill.outcomes import Failed, MissCause
from async_backfill.policies import (
    BackfillPolicy,
    CircuitPolicy,
    FreshnessPolicy,
    HistoryPolicy,
    LoadPolicy,
)
from async_backfill.records import AuditRecord, BackfillCause, BudgetState, CircuitState, Status
from async_backfill.sources.callable import each
from async_backfill.sources.mapping import MappingSource
from async_backfill.sources.simulated import SimulatedSource
from async_backfill.stats import Stats
from async_backfill.stores.memory import MemoryStore
from async_backfill.stores.weighed import WeighedStore

__all__ = [
    "Answers",
    "AsyncBackfillError",
    "AuditRecord",
    "BackfillCache",
    "BackfillCause",
    "BackfillPolicy",
    "BudgetState",
    "CacheClosedError",
    "CacheRegistry",
    "CircuitOpenError",
    "CircuitPolicy",
    "CircuitState",
    "ConfigurationError",
    "Failed",
    "FarTier",
    "FreshnessPolicy",
    "HistoryPolicy",
    "JournalError",
    "KeyNotFoundError",
    "KeyRefusedError",
    "LoadCycleError",
    "LoadError",
    "LoadPolicy",
    "LoadTimeoutError",
    "MappingSource",
    "MemoryStore",
    "MissCause",
    "MissingExtraError",
    "Readiness",
    "ReadinessPolicy",
    "ReadinessState",
    "ScenarioError",
    "SimulatedSource",
    "SnapshotError",
    "StalePageError",
    "Stats",
    "Status",
    "StoreError",
    "WeighedStore",
    "cached",
    "each",
]
