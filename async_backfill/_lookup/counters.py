"""The counters of a cache while it runs, and the frozen snapshot that is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from async_backfill.outcomes import LoadCause, MissCause
from async_backfill.records import BudgetState, CircuitState, JournalReading, SnapshotStats, Status
from async_backfill.stats import FarStats, Stats

if TYPE_CHECKING:
    from async_backfill.backfill._counted_scan import CountedScan

_FIRST: Final = (MissCause.COLD, MissCause.EXPIRED, MissCause.EVICTED, MissCause.INVALIDATED)


@dataclass(slots=True)
class Counters:
    """The counters behind `Stats`; they only increase, except that a miss may move to another cause.

    ``left_causes``
        how many misses have moved, by the cause that they had before.
    ``other_calls``
        source calls that were not for misses, by their cause.
    """

    hits: int = 0
    misses: int = 0
    led: int = 0
    stale: int = 0
    absent: int = 0
    failed: int = 0
    source_calls: int = 0
    evictions: int = 0
    expirations: int = 0
    unkept: int = 0
    unremembered: int = 0
    backfills_completed: int = 0
    backfills_cancelled: int = 0
    backfills_failed: int = 0
    backfills_skipped: int = 0
    backfills_denied: int = 0
    causes: dict[MissCause, int] | None = None
    left_causes: dict[MissCause, int] = field(default_factory=dict)
    keys: dict[LoadCause, int] = field(default_factory=lambda: dict.fromkeys(LoadCause, 0))
    other_calls: dict[LoadCause, int] = field(default_factory=lambda: dict.fromkeys(LoadCause, 0))
    failed_calls: dict[LoadCause, int] = field(default_factory=lambda: dict.fromkeys(LoadCause, 0))

    @property
    def lookups(self) -> int:
        """The number of hits and misses."""
        return self.hits + self.misses

    def count_cause(self, cause: MissCause, instead_of: MissCause | None = None) -> None:
        """Count a miss under ``cause``, no longer under ``instead_of``, if causes are recorded."""
        if self.causes is not None:
            self.causes[cause] += 1
            if instead_of is not None:
                self.causes[instead_of] -= 1
                self.left_causes[instead_of] = self.left_causes.get(instead_of, 0) + 1

    def count_decision(self, status: Status) -> None:
        """Count a decision about a backfill, or its result."""
        match status:
            case Status.SKIPPED:
                self.backfills_skipped += 1
            case Status.DENIED:
                self.backfills_denied += 1
            case Status.FAILED:
                self.backfills_failed += 1
            case Status.COMPLETED:
                self.backfills_completed += 1
            case Status.CANCELLED:
                self.backfills_cancelled += 1


def snapshot(  # noqa: PLR0913 - each is a fact of its own
    counters: Counters,
    *,
    size: int,
    in_flight: int,
    backfills: int,
    permits_left: int | None,
    budget: BudgetState,
    circuit: CircuitState | None,
    audit_dropped: int,
    far: FarStats | None,
    scan: CountedScan[Any] | None = None,
    abandoned: int = 0,
    journal: JournalReading | None = None,
    snapshot: SnapshotStats | None = None,
    backfill_keys_read: int | None = None,
    weight: int | None = None,
    readiness: str | None = None,
) -> Stats:
    """Return a snapshot of ``counters``, with the facts that are looked up rather than counted."""
    lookups, others = counters.lookups, counters.other_calls
    return Stats(
        lookups=lookups,
        hits=counters.hits,
        misses=counters.misses,
        led=counters.led,
        joined=counters.misses - counters.led,
        stale=counters.stale,
        absent=counters.absent,
        failed=counters.failed,
        hit_rate=counters.hits / lookups if lookups else 0.0,
        miss_rate=counters.misses / lookups if lookups else 0.0,
        miss_causes=dict(counters.causes or {}),
        first_causes=_first(counters),
        source_calls=counters.source_calls,
        calls={**others, LoadCause.MISS: counters.source_calls - sum(others.values())},
        calls_failed=dict(counters.failed_calls),
        source_keys=sum(counters.keys.values()),
        miss_keys=counters.keys[LoadCause.MISS],
        refresh_keys=counters.keys[LoadCause.REFRESH],
        backfill_keys=counters.keys[LoadCause.BACKFILL],
        backfills=backfills,
        backfills_completed=counters.backfills_completed,
        backfills_cancelled=counters.backfills_cancelled,
        backfills_failed=counters.backfills_failed,
        backfills_skipped=counters.backfills_skipped,
        backfills_denied=counters.backfills_denied,
        backfill_keys_read=backfill_keys_read,
        evictions=counters.evictions,
        expirations=counters.expirations,
        unkept=counters.unkept,
        unremembered=counters.unremembered,
        journal=journal,
        snapshot=snapshot,
        size=size,
        weight=weight,
        in_flight=in_flight,
        abandoned=abandoned,
        permits_left=permits_left,
        budget=budget,
        circuit=circuit,
        readiness=readiness,
        audit_dropped=audit_dropped,
        far=far,
        scans=0 if scan is None else scan.pages,
        scans_failed=0 if scan is None else scan.failures,
        scanned_keys=0 if scan is None else scan.keys,
    )


def _first(counters: Counters) -> dict[MissCause, int]:
    causes, left = counters.causes, counters.left_causes
    return {cause: causes.get(cause, 0) + left.get(cause, 0) for cause in _FIRST} if causes else {}
