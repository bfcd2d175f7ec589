"""The counters of a cache, and the snapshot of them that users see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from async_backfill.outcomes import LoadCause, MissCause
from async_backfill.records import BudgetState, CircuitState, Status

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class FarStats:
    """The counters of the far tier (L2) at one moment.

    ``hits``, ``misses``
        keys that were found there, and keys that were not found or could not be used.
    ``failures``
        calls that failed or timed out. Calls that were not made while the circuit was open do not count.
    ``written``, ``unwritten``
        values that were written there, and values that were not: the call failed, too many values waited,
        or their lease had ended.
    ``circuit``
        whether the far tier is called.
    """

    hits: int
    misses: int
    failures: int
    written: int
    unwritten: int
    circuit: CircuitState


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The counters of a cache at one moment.

    Always true: ``lookups == hits + misses``, ``misses == led + joined``, ``absent <= misses``, and
    ``hit_rate + miss_rate == 1`` once there were lookups (both are 0.0 before).

    ``led``, ``joined``
        misses that started the load of their key, and misses that did not: they waited for a load in
        progress, a refresh or an inline backfill, or their key was known to be absent.
    ``stale``
        hits that got a stale value while the key was loaded again.
    ``absent``, ``failed``
        misses whose key the source does not have, and misses that ended in a `LoadError`.
    ``miss_causes``
        misses by cause, if causes are recorded (``BackfillPolicy.probation``), else empty; a miss that
        has not ended counts under the cause that is known so far.
    ``source_calls``, ``source_keys``
        ``load_many`` calls that have ended, and the keys that they delivered.
    ``miss_keys``, ``refresh_keys``, ``backfill_keys``
        ``source_keys`` by the cause of their load.
    ``backfills``, ``backfills_failed``
        backfills that have started, and those of them that failed.
    ``backfills_skipped``, ``backfills_denied``
        backfills that did not start because there were no keys or no free room, or no permit.
    ``evictions``
        keys that were evicted to make room.
    ``size``, ``in_flight``
        keys in the store, and keys being loaded.
    ``permits_left``, ``budget``
        automatic backfills that may still start (``None`` without a limit), and whether a person
        must approve more.
    ``circuit``
        whether the source is called; ``None`` without ``LoadPolicy.circuit`` and while the cache is closed.
    ``audit_dropped``
        audit records that are no longer held in memory.
    ``far``
        the counters of the far tier (L2); ``None`` without one.
    """

    lookups: int
    hits: int
    misses: int
    led: int
    joined: int
    stale: int
    absent: int
    failed: int
    hit_rate: float
    miss_rate: float
    miss_causes: Mapping[MissCause, int]
    source_calls: int
    source_keys: int
    miss_keys: int
    refresh_keys: int
    backfill_keys: int
    backfills: int
    backfills_failed: int
    backfills_skipped: int
    backfills_denied: int
    evictions: int
    size: int
    in_flight: int
    permits_left: int | None
    budget: BudgetState
    circuit: CircuitState | None
    audit_dropped: int
    far: FarStats | None = None


@dataclass(slots=True)
class Counters:
    """The counters behind `Stats`; they only increase, except that a miss may move to another cause."""

    hits: int = 0
    misses: int = 0
    led: int = 0
    stale: int = 0
    absent: int = 0
    failed: int = 0
    source_calls: int = 0
    evictions: int = 0
    backfills_failed: int = 0
    backfills_skipped: int = 0
    backfills_denied: int = 0
    causes: dict[MissCause, int] | None = None
    keys: dict[LoadCause, int] = field(default_factory=lambda: dict.fromkeys(LoadCause, 0))

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

    def count_decision(self, status: Status) -> None:
        """Count a decision about a backfill, or its result."""
        match status:
            case Status.SKIPPED:
                self.backfills_skipped += 1
            case Status.DENIED:
                self.backfills_denied += 1
            case Status.FAILED:
                self.backfills_failed += 1


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
) -> Stats:
    """Return a snapshot of ``counters``, with the facts that are looked up rather than counted."""
    lookups = counters.lookups
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
        source_calls=counters.source_calls,
        source_keys=sum(counters.keys.values()),
        miss_keys=counters.keys[LoadCause.MISS],
        refresh_keys=counters.keys[LoadCause.REFRESH],
        backfill_keys=counters.keys[LoadCause.BACKFILL],
        backfills=backfills,
        backfills_failed=counters.backfills_failed,
        backfills_skipped=counters.backfills_skipped,
        backfills_denied=counters.backfills_denied,
        evictions=counters.evictions,
        size=size,
        in_flight=in_flight,
        permits_left=permits_left,
        budget=budget,
        circuit=circuit,
        audit_dropped=audit_dropped,
        far=far,
    )
