"""For tests of programs that use this package: parts under control, and suites for parts of your own.

`ManualClock`, `GatedSource`, `MemoryFarStore` and `MemoryPermits` stand in for a clock, a source and
what a fleet shares. The
contract suites are classes that a test class of yours inherits from; what they promise is what a cache
relies on.
"""

from async_backfill.testing.far_store_contract import FarStoreContract
from async_backfill.testing.gated_source import GatedSource
from async_backfill.testing.invalidations_contract import InvalidationsContract
from async_backfill.testing.keyset_scan_contract import KeysetScanContract
from async_backfill.testing.leases_contract import LeasesContract
from async_backfill.testing.line import Line
from async_backfill.testing.manual_clock import ManualClock
from async_backfill.testing.memory_far_store import MemoryFarStore
from async_backfill.testing.memory_permits import MemoryPermits
from async_backfill.testing.partial_failure_contract import PartialFailureContract
from async_backfill.testing.permits_contract import PermitsContract
from async_backfill.testing.scan_contract import ScanContract
from async_backfill.testing.source_contract import SourceContract
from async_backfill.testing.store_contract import StoreContract

__all__ = [
    "FarStoreContract",
    "GatedSource",
    "InvalidationsContract",
    "KeysetScanContract",
    "LeasesContract",
    "Line",
    "ManualClock",
    "MemoryFarStore",
    "MemoryPermits",
    "PartialFailureContract",
    "PermitsContract",
    "ScanContract",
    "SourceContract",
    "StoreContract",
]
