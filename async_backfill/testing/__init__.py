"""Test doubles for programs that use this package, and contract tests for parts of your own.

The doubles need no server and no waiting:

- `ManualClock` is a clock that a test moves;
- `GatedSource` is a source whose calls wait until a test releases them;
- `MemoryFarStore` is a far tier (L2) in memory, with leases and invalidations, and `NetworkLink` makes the
  way to it slow or broken;
- `MemoryPermits` is a backfill budget that several caches share, `MemoryReadBudget` a budget of reads that
  several workers of jobs share;
- `MemoryControl` is a channel for orders to all caches of a fleet.

A contract suite, such as `SourceContract` or `StoreContract`, is a class of tests for your own source, scan,
store, far tier, budget, channel or state of jobs: inherit from it in a test class. It tests the promises
that a cache or a job relies on.
"""

from async_backfill.testing._changing_rows_contract import ChangingRowsContract
from async_backfill.testing._control_channel_contract import ControlChannelContract
from async_backfill.testing._far_store_contract import FarStoreContract
from async_backfill.testing._gated_source import GatedSource
from async_backfill.testing._guarded_store_contract import GuardedLeasesContract, GuardedStoreContract
from async_backfill.testing._invalidations_contract import InvalidationsContract
from async_backfill.testing._job_state_contract import JobStateContract
from async_backfill.testing._key_listing_contract import KeyListingContract
from async_backfill.testing._keyset_scan_contract import KeysetScanContract
from async_backfill.testing._leases_contract import LeasesContract
from async_backfill.testing._manual_clock import ManualClock
from async_backfill.testing._memory_control import MemoryControl
from async_backfill.testing._memory_far_store import MemoryFarStore
from async_backfill.testing._memory_permits import MemoryPermits
from async_backfill.testing._memory_read_budget import MemoryReadBudget
from async_backfill.testing._network_link import NetworkLink
from async_backfill.testing._partial_failure_contract import PartialFailureContract
from async_backfill.testing._permits_contract import PermitsContract
from async_backfill.testing._read_budget_contract import ReadBudgetContract
from async_backfill.testing._rows_contract import RowsContract
from async_backfill.testing._scan_contract import ScanContract
from async_backfill.testing._sealing_contract import SealingContract
from async_backfill.testing._source_contract import SourceContract
from async_backfill.testing._source_facts_contract import SourceFactsContract
from async_backfill.testing._store_contract import StoreContract
from async_backfill.testing._store_facts_contract import StoreFactsContract
from async_backfill.testing._versioned_store_contract import VersionedStoreContract

__all__ = [
    "ChangingRowsContract",
    "ControlChannelContract",
    "FarStoreContract",
    "GatedSource",
    "GuardedLeasesContract",
    "GuardedStoreContract",
    "InvalidationsContract",
    "JobStateContract",
    "KeyListingContract",
    "KeysetScanContract",
    "LeasesContract",
    "ManualClock",
    "MemoryControl",
    "MemoryFarStore",
    "MemoryPermits",
    "MemoryReadBudget",
    "NetworkLink",
    "PartialFailureContract",
    "PermitsContract",
    "ReadBudgetContract",
    "RowsContract",
    "ScanContract",
    "SealingContract",
    "SourceContract",
    "SourceFactsContract",
    "StoreContract",
    "StoreFactsContract",
    "VersionedStoreContract",
]
