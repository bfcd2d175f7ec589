"""What a fleet did in one phase of its course."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from async_backfill.events import BackfillAudited, KeysInvalidated

if TYPE_CHECKING:
    from async_backfill.events import Event


@dataclass(slots=True, kw_only=True)
class Counts:
    """Counters of one phase, of the whole fleet."""

    lookups: int = 0
    failed: int = 0
    failed_writes: int = 0
    restarted: int = 0
    """Requests that a restart of their process cut off."""
    source_calls: int = 0
    source_keys: int = 0
    far_calls: int = 0
    """Calls of the store and of its leases, published invalidations included."""
    messages: int = 0
    """Invalidations that arrived: one that was published arrives at all others."""
    permit_calls: int = 0
    """How often the budget of the fleet was asked for a permit."""
    backfills: int = 0
    denied: int = 0
    waits: list[float] = field(default_factory=list)
    """Virtual seconds of each lookup that did not answer at once."""

    def note(self, event: Event) -> None:
        """Count what the caches tell of themselves."""
        if isinstance(event, KeysInvalidated):
            self.messages += event.elsewhere
        elif isinstance(event, BackfillAudited):
            self.backfills += event.record.status == "started"
            self.denied += event.record.status == "denied"

    def slowest(self, share: float) -> float:
        """Return the seconds within which ``share`` of the lookups answered."""
        at_once = self.lookups - len(self.waits)
        rank = math.ceil(share * self.lookups) - 1 - at_once
        return sorted(self.waits)[rank] if rank >= 0 else 0.0
