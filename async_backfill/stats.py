"""Statistics of a cache, as frozen snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from async_backfill.outcomes import LoadCause, MissCause
    from async_backfill.records import BudgetState, CircuitState, JournalReading, SnapshotStats

__all__ = ["CacheMeter", "EntryFreshness", "FarStats", "HasStats", "Stats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFreshness:
    """How fresh the value of one key is at one moment: what `BackfillCache.freshness_of` returns.

    ``age``
        seconds since its load began or it was put, worked out from its ttl: what ``jitter`` cut off counts as
        well, and a copy from a far tier with another ttl is dated by this cache's. ``None`` when that is not
        known, as where nothing expires.
    ``expires_in``
        seconds for which it stays fresh, 0.0 or less once it is stale; ``None`` when it never expires.
    ``is_stale``
        whether it has expired, and may still be served.
    ``stale_while_revalidate``, ``stale_if_error``
        seconds after it expires in which the cache may serve it while it is loaded again, and when that load
        fails; the terms of RFC 5861.
    """

    age: float | None
    expires_in: float | None
    is_stale: bool
    stale_while_revalidate: float
    stale_if_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FarStats:
    """The counters of the far tier (L2) at one moment.

    ``hits``, ``misses``
        keys that were found there, and keys that were not found or could not be used.
    ``failures``
        calls that failed or timed out. Calls that were not made while the circuit was open do not count.
    ``written``, ``unwritten``
        values that were written there, and values that were not: the store could not keep them as they
        were, the call failed, too many values waited, or their lease had ended.
    ``unreleased``
        leases that could not be given back, in several tries: those who want such a key wait for a while.
    ``circuit``
        whether the far tier is called.
    ``calls``, ``calls_failed``
        calls by what was asked for, such as ``"get"`` or ``"set"``, and those that failed or timed out.
    """

    hits: int
    misses: int
    failures: int
    written: int
    unwritten: int
    unreleased: int
    circuit: CircuitState
    calls: Mapping[str, int] = field(default_factory=dict)
    calls_failed: Mapping[str, int] = field(default_factory=dict)


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
    ``first_causes``
        the same by the cause that was known before the load, so that no number goes down; without the misses
        that were known to be absent.
    ``source_calls``, ``source_keys``
        ``load_many`` calls that have ended, and the keys that they delivered.
    ``calls``, ``calls_failed``
        ``source_calls`` by their cause, and those of them that failed for all their keys.
    ``miss_keys``, ``refresh_keys``, ``backfill_keys``
        ``source_keys`` by the cause of their load.
    ``backfills``, ``backfills_failed``
        backfills that have started, and those of them that failed.
    ``backfills_completed``, ``backfills_cancelled``
        those that came to their end, and those that ended before, because the cache closed or a person
        cancelled them.
    ``backfills_skipped``, ``backfills_denied``
        backfills that did not start because there were no keys or no free room, or for the reason that the
        audit log has; and those for which there was no permit.
    ``scans``, ``scans_failed``, ``scanned_keys``
        pages of its keys that the source was asked for by backfills, those of them that failed, and the keys
        on them.
    ``backfill_keys_read``
        of ``backfill_keys`` those that were read before they were removed; ``None`` without
        ``BackfillPolicy.probation``, when nobody knows.
    ``evictions``, ``expirations``
        keys that were evicted to make room, and keys that were removed because they had expired.
    ``unkept``
        loaded values that the store could not keep, because it raised, or what weighs them or times them did.
    ``unremembered``
        loads of keys that do not exist and are too long, over 4 KiB, for that to be remembered.
    ``size``, ``in_flight``
        keys in the store, and keys being loaded.
    ``weight``
        what the keys and values weigh together; ``None`` unless the store is a `WeighedStore`.
    ``abandoned``
        source calls that run on although their timeout is over (`LoadPolicy.timeout`) and nobody waits for
        them; none while the cache is closed.
    ``permits_left``, ``budget``
        automatic backfills that may still start (``None`` without a limit), and whether a person
        must approve more.
    ``circuit``
        whether the source is called; ``None`` without ``LoadPolicy.circuit`` and while the cache is closed.
    ``readiness``
        the `ReadinessState`; ``None`` before anybody has asked whether the cache is ready, and while it is
        closed.
    ``audit_dropped``
        audit records that are no longer held in memory.
    ``far``
        the counters of the far tier (L2); ``None`` without one.
    ``journal``
        what came of reading the journal of hot keys; ``None`` where there was none to read.
    ``snapshot``
        what became of the setting ``snapshot``; ``None`` without it.
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
    unkept: int
    size: int
    in_flight: int
    permits_left: int | None
    budget: BudgetState
    circuit: CircuitState | None
    audit_dropped: int
    far: FarStats | None = None
    scans: int = 0
    scans_failed: int = 0
    scanned_keys: int = 0
    abandoned: int = 0
    unremembered: int = 0
    journal: JournalReading | None = None
    snapshot: SnapshotStats | None = None
    first_causes: Mapping[MissCause, int] = field(default_factory=dict)
    calls: Mapping[LoadCause, int] = field(default_factory=dict)
    calls_failed: Mapping[LoadCause, int] = field(default_factory=dict)
    backfills_completed: int = 0
    backfills_cancelled: int = 0
    backfill_keys_read: int | None = None
    expirations: int = 0
    weight: int | None = None
    readiness: str | None = None


class HasStats(Protocol):
    """What has the statistics of a cache: a `BackfillCache`."""

    @property
    def stats(self) -> Stats:
        """Its counters at this moment."""
        ...


class CacheMeter(Protocol):
    """An observer that also reads the statistics of the caches that it observes; inherit from it to say so.

    A cache that has it among its ``observers`` calls `watch` when it is made.
    """

    def watch(self, name: str | None, cache: HasStats, /) -> Callable[[float], object]:
        """Take note of ``cache``, which has this name, and should not be kept alive by that.

        Return what is called with the seconds that a caller has waited whose key was not fresh in memory.

        :raises ConfigurationError: when it cannot be told from others.
        """
        ...
