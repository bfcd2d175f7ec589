"""The contracts of the package: Protocols of at most five methods each, for parts that you write yourself.

An optional ability is a Protocol of its own and is passed explicitly; no object is ever probed for one.
"""

from async_backfill.contracts._answers import Answers
from async_backfill.contracts._backfill import AuditSink, ExclusiveJournal, Heats, Journal, Selection, Trigger
from async_backfill.contracts._control import ControlChannel, ControlOrder, ControlVerb
from async_backfill.contracts._fleet import (
    AccessCheck,
    Compression,
    FarCopy,
    FarStore,
    Invalidations,
    Leases,
    Sealing,
    SharedInvalidations,
    ValueCodec,
)
from async_backfill.contracts._guarded import GuardedStore, Kept, VersionedStore
from async_backfill.contracts._job_state import JobState, Transaction
from async_backfill.contracts._jobs import SourceFacts, StoreFacts, StoreState
from async_backfill.contracts._keys import KeyType
from async_backfill.contracts._listing import KeyListing
from async_backfill.contracts._permits import Approval, Permits
from async_backfill.contracts._read_budget import ReadBudget
from async_backfill.contracts._rows import RowPage, Rows
from async_backfill.contracts._sources import CallLimits, LimitedSource, Page, Scan, Source
from async_backfill.contracts._stores import (
    BoundedStore,
    EvictionOrder,
    OrderState,
    ResumableOrder,
    Room,
    Store,
)
from async_backfill.contracts._tracing import OpenSpan, Tracer
from async_backfill.contracts._types import Clock, K, K_co, NeedsAsyncio, Seconds, Spawn, V, V_co, V_contra

__all__ = [
    "AccessCheck",
    "Answers",
    "Approval",
    "AuditSink",
    "BoundedStore",
    "CallLimits",
    "Clock",
    "Compression",
    "ControlChannel",
    "ControlOrder",
    "ControlVerb",
    "EvictionOrder",
    "ExclusiveJournal",
    "FarCopy",
    "FarStore",
    "GuardedStore",
    "Heats",
    "Invalidations",
    "JobState",
    "Journal",
    "K",
    "K_co",
    "Kept",
    "KeyListing",
    "KeyType",
    "Leases",
    "LimitedSource",
    "NeedsAsyncio",
    "OpenSpan",
    "OrderState",
    "Page",
    "Permits",
    "ReadBudget",
    "ResumableOrder",
    "Room",
    "RowPage",
    "Rows",
    "Scan",
    "Sealing",
    "Seconds",
    "Selection",
    "SharedInvalidations",
    "Source",
    "SourceFacts",
    "Spawn",
    "Store",
    "StoreFacts",
    "StoreState",
    "Tracer",
    "Transaction",
    "Trigger",
    "V",
    "V_co",
    "V_contra",
    "ValueCodec",
    "VersionedStore",
]
