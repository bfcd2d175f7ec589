"""For tests of programs that use this package: parts under control, and suites for parts of your own.

`ManualClock`, `GatedSource`, `MemoryFarStore` and `MemoryPermits` stand in for a clock, a source and
what a fleet shares. The
contract suites are classes that a test class of yours inherits from; what they promise is what a cache
relies on.
"""

from async_backfill.testing._far_store_contract import FarStoreContract
from async_backfill.testing._gated_source import GatedSource
from async_backfill.testing._invalidations_contract import InvalidationsContract
from async_backfill.testing._keyset_scan_contract import KeysetScanContract
from async_backfill.testing._leases_contract import LeasesContract
from async_backfill.testing._manual_clock import ManualClock
from async_backfill.testing._memory_far_store import MemoryFarStore
from async_backfill.testing._memory_permits import MemoryPermits
from async_backfill.testing._network_link import NetworkLink
from async_backfill.testing._partial_failure_contract import PartialFailureContract
from async_backfill.testing._permits_contract import PermitsContract
from async_backfill.testing._scan_contract import ScanContract
from async_backfill.testing._source_contract import SourceContract
from async_backfill.testing._store_contract import StoreContract

__all__ = [
    "FarStoreContract",
    "GatedSource",
    "InvalidationsContract",
    "KeysetScanContract",
    "LeasesContract",
    "ManualClock",
    "MemoryFarStore",
    "MemoryPermits",
    "NetworkLink",
    "PartialFailureContract",
    "PermitsContract",
    "ScanContract",
    "SourceContract",
    "StoreContract",
]
