"""What is public: the modules without a leading underscore, and the names that each of them exports.

A name that is added here is a promise from then on; one that leaves needs a deprecation first.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import async_backfill

# Each module at the start of a line, and below it its names, sorted as ``__all__`` is.
PUBLIC = """
async_backfill
  Answers AsyncBackfillError AuditRecord BackfillCache BackfillCause BackfillPolicy BudgetState
  CacheClosedError CacheRegistry CircuitOpenError CircuitPolicy CircuitState ConfigurationError Failed
  FarTier FreshnessPolicy HistoryPolicy JournalError KeyNotFoundError KeyRefusedError LoadCycleError LoadError
  LoadPolicy LoadTimeoutError MappingSource MemoryStore MissCause MissingExtraError Readiness
  ReadinessPolicy ReadinessState ScenarioError SimulatedSource SnapshotError StalePageError Stats Status
  StoreError WeighedStore cached each
async_backfill.admin
  Access Application Visitor routes
async_backfill.backfill
async_backfill.backfill.audit_file
  AuditFile
async_backfill.backfill.budget
  BackfillBudget
async_backfill.backfill.journal_file
  JournalFile
async_backfill.backfill.readiness
  Readiness ReadinessPolicy ReadinessState
async_backfill.backfill.trigger
  MissRateTrigger
async_backfill.contracts
  AccessCheck Answers Approval AuditSink BoundedStore CallLimits Clock Compression ControlChannel ControlOrder
  ControlVerb EvictionOrder
  ExclusiveJournal FarCopy
  FarStore GuardedStore Heats Invalidations JobState Journal K K_co Kept KeyListing KeyType Leases
  LimitedSource NeedsAsyncio OpenSpan OrderState Page Permits ReadBudget ResumableOrder Room RowPage Rows
  Scan Sealing Seconds Selection SharedInvalidations Source SourceFacts Spawn
  Store StoreFacts StoreState Tracer Transaction Trigger V V_co V_contra ValueCodec VersionedStore
async_backfill.control
  Control ControlStatus Explanation RunningBackfill
async_backfill.errors
  AsyncBackfillError CacheClosedError CircuitOpenError ConfigurationError JournalError
  KeyNotFoundError KeyRefusedError LoadCycleError LoadError LoadTimeoutError MissingExtraError
  ScenarioError SnapshotError StalePageError StoreError
async_backfill.events
  BackfillAudited BudgetChanged CacheEvent CircuitChanged ControlChanged Event FarStoreFailed JournalRead
  KeysEvicted KeysExpired KeysInvalidated KeysPut LoadFinished Observer ReadinessChanged SnapshotChanged
async_backfill.far_tier
  FarTier
async_backfill.frameworks
async_backfill.frameworks.aiohttp
  conditional health_routes opened operator_page
async_backfill.frameworks.sqlalchemy
  InvalidateAfterCommit
async_backfill.frameworks.starlette
  Resource conditional health_routes lifespan operator_page
async_backfill.jobs
  LEGAL_JOB_CHANGES AnyJobEvent DryRun Estimate GuardName JobApproval JobCounts JobEnds JobError JobEvent
  JobObserver JobPageDone JobRecord JobRefusedError JobReport JobSettings JobSpec JobStateError
  JobStatus JobStatusChanged JobThrottled Jobs LogLine OpenEnds Plan PolicyName PostgresJobState Retried
  SQLiteJobState ShardReport ShardStatus ShownStatus ThrottleLimits Throttled Verified Wanted
  WorkerReport estimate open_ends read_job
async_backfill.otel
  CacheMetrics JobMetrics Tracing
async_backfill.outcomes
  ABSENT ELSEWHERE Absent Elsewhere Failed LoadCause MissCause
async_backfill.policies
  SELECTIONS BackfillPolicy CircuitPolicy ContextName FreshnessPolicy HistoryPolicy LoadPolicy SelectionName
async_backfill.prometheus
  CacheMetrics JobMetrics exposition_of
async_backfill.records
  LEGAL_CHANGES AuditRecord BackfillCause BudgetState CircuitState JournalReading Provenance RestoreState
  SnapshotStats Status
async_backfill.redis
  Credentials FunctionCodec PydanticCodec RedisConnection RedisControl RedisError RedisInvalidations
  RedisJournal RedisLeases RedisPermits RedisReadBudget RedisReplyError RedisStore RedisUnavailableError
  Zstd connect from_client
async_backfill.redis.codecs
  FunctionCodec PydanticCodec
async_backfill.redis.compression
  Zstd
async_backfill.redis.connection
  RedisConnection connect from_client
async_backfill.redis.control
  RedisControl
async_backfill.redis.credentials
  Credentials
async_backfill.redis.errors
  RedisError RedisReplyError RedisUnavailableError
async_backfill.redis.invalidations
  RedisInvalidations
async_backfill.redis.journal
  RedisJournal
async_backfill.redis.leases
  RedisLeases
async_backfill.redis.permits
  RedisPermits
async_backfill.redis.read_budget
  RedisReadBudget
async_backfill.redis.store
  RedisStore
async_backfill.sources
async_backfill.sources.callable
  each
async_backfill.sources.file
  FileSource
async_backfill.sources.http
  AnswerError Batch BatchRequest HTTPSource HTTPSourceError KeyTextError NoAnswerError RetryPolicy
  StatusError get_keys post_keys
async_backfill.sources.mapping
  MappingSource
async_backfill.sources.parquet
  ParquetSource
async_backfill.sources.retrying
  RetryingSource
async_backfill.sources.simulated
  SimulatedError SimulatedSource
async_backfill.sources.sql
  QueryError SQLSource StatementSource open_database
async_backfill.sources.typed
  TypedKey TypedScan TypedSource
async_backfill.stats
  CacheMeter EntryFreshness FarStats HasStats Stats
async_backfill.stores
async_backfill.stores.codecs
  FunctionCodec PydanticCodec Zstd
async_backfill.stores.memory
  MemoryStore
async_backfill.stores.snapshot_file
  Restored SnapshotFile
async_backfill.stores.sqlite
  SQLiteStore
async_backfill.stores.weighed
  WeighedStore
async_backfill.testing
  ChangingRowsContract ControlChannelContract FarStoreContract GatedSource GuardedLeasesContract
  GuardedStoreContract InvalidationsContract JobStateContract KeyListingContract KeysetScanContract
  LeasesContract ManualClock MemoryControl MemoryFarStore MemoryPermits MemoryReadBudget NetworkLink
  PartialFailureContract
  PermitsContract ReadBudgetContract RowsContract ScanContract SealingContract SourceContract
  SourceFactsContract StoreContract StoreFactsContract VersionedStoreContract
async_backfill.warming
  CopyError CopyProgress copy_rows
"""


def listed():
    """Return the names that ``PUBLIC`` has for each module."""
    blocks = [block.split() for block in re.split(r"\n(?=\w)", PUBLIC.strip())]
    return {module: names for module, *names in blocks}


def public_modules():
    modules = pkgutil.walk_packages(async_backfill.__path__, "async_backfill.")
    names = ["async_backfill", *(module.name for module in modules)]
    return [name for name in names if not any(part.startswith("_") for part in name.split(".")[1:])]


def test_the_public_modules_are_those_that_are_listed():
    assert sorted(public_modules()) == list(listed())


def test_each_public_module_exports_what_is_listed():
    assert {name: importlib.import_module(name).__all__ for name in public_modules()} == listed()


def test_each_public_class_and_function_says_what_it_is():
    exported = [
        getattr(importlib.import_module(module), name) for module, names in listed().items() for name in names
    ]
    documented = [value for value in exported if inspect.isclass(value) or inspect.isfunction(value)]

    assert len(documented) > 80
    assert [value for value in documented if not inspect.getdoc(value)] == []


def test_a_module_defines_nothing_public_that_it_does_not_export():
    hidden = [
        f"{name}.{defined}"
        for name in public_modules()
        for defined, value in vars(importlib.import_module(name)).items()
        if getattr(value, "__module__", None) == name and not defined.startswith("_")
        if defined not in importlib.import_module(name).__all__ and not isinstance(value, ModuleType)
    ]

    assert hidden == []


def test_the_top_level_has_at_most_21_entries_without_an_underscore():
    (folder,) = async_backfill.__path__
    entries = [
        entry.name
        for entry in Path(folder).iterdir()
        if not entry.name.startswith("_") and entry.name != "py.typed"  # for type checkers, not for readers
    ]

    assert len(entries) <= 21, entries
