"""For tests of programs that use this package: a clock, a source and a far store under control."""

from async_backfill.testing.gated_source import GatedSource
from async_backfill.testing.line import Line
from async_backfill.testing.manual_clock import ManualClock
from async_backfill.testing.memory_far_store import MemoryFarStore

__all__ = ["GatedSource", "Line", "ManualClock", "MemoryFarStore"]
