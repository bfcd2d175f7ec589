"""What a copy has used between two moments: time by the clock, and of processors."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from benchmarks.backfill.usage import processor_seconds

if TYPE_CHECKING:
    from benchmarks.jobs.places import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Seconds by the clock, and seconds of processor time of this process and of the servers."""

    clock: float
    own: float
    servers: float

    @classmethod
    def until_now(cls, place: Place) -> Self:
        """Return what was used since some moment, the same each time: subtract two of them."""
        servers = sum(processor_seconds(process) or 0.0 for process in place.processes)
        return cls(clock=time.perf_counter(), own=time.process_time(), servers=servers)

    def __sub__(self, before: Used) -> Used:
        return Used(
            clock=self.clock - before.clock, own=self.own - before.own, servers=self.servers - before.servers
        )

    @property
    def processors(self) -> float:
        """Seconds of processor time of all processes."""
        return self.own + self.servers
