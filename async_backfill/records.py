"""The audit record, and the states of a backfill, the budget and the circuit."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LEGAL_CHANGES",
    "AuditRecord",
    "BackfillCause",
    "BudgetState",
    "CircuitState",
    "JournalReading",
    "Provenance",
    "RestoreState",
    "SnapshotStats",
    "Status",
]


class Status(enum.StrEnum):
    """The decision about a backfill, or its result."""

    SKIPPED = "skipped"
    DENIED = "denied"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    APPROVED = "approved"
    RECEIPT = "receipt"
    CONTROL = "control"
    """A person's order to the running cache: see ``verb`` of the record."""


class BudgetState(enum.StrEnum):
    """Whether an automatic backfill may start."""

    OPEN = "open"
    NEEDS_APPROVAL = "needs_approval"


class CircuitState(enum.StrEnum):
    """Whether the source, or the far tier, is called."""

    CLOSED = "closed"
    """It is called."""

    OPEN = "open"
    """It failed too often and is not called: loads fail at once."""

    HALF_OPEN = "half_open"
    """One call at a time is made, to find out whether it works again."""


class RestoreState(enum.StrEnum):
    """How far a cache has got with the snapshot that it found when it was opened."""

    NONE = "none"
    """There was none, or the cache held something already."""

    RESTORING = "restoring"
    RESTORED = "restored"
    REFUSED = "refused"
    """It was not used."""

    STOPPED = "stopped"
    """It was used in part only."""


class BackfillCause(enum.StrEnum):
    """What started a backfill; ``RECOVERY``: the cache was emptied, and keys are known to be hot."""

    THRESHOLD = "threshold"
    RECOVERY = "recovery"
    READY = "ready"
    SUCCESSORS = "successors"
    MANUAL = "manual"


LEGAL_CHANGES: Final[Mapping[Status | None, frozenset[Status]]] = MappingProxyType(
    {
        # An offer ends at once when no key or no permit is left; a scan that fails has spent its
        # permit without ever loading.
        None: frozenset(Status) - {Status.COMPLETED, Status.CANCELLED},
        # A load succeeds, fails, or is cancelled when the cache closes.
        Status.STARTED: frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
        # These are final: the next backfill is another one, with a number of its own.
        Status.SKIPPED: frozenset(),
        Status.DENIED: frozenset(),
        Status.COMPLETED: frozenset(),
        Status.FAILED: frozenset(),
        Status.CANCELLED: frozenset(),
        Status.APPROVED: frozenset(),
        Status.RECEIPT: frozenset(),
        Status.CONTROL: frozenset(),
    }
)
"""The statuses that may follow each status of a backfill; ``None`` means "no record yet"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One entry of the audit log: a decision about a backfill, or its result.

    ``number``
        1 for the first record of a cache, then up by one.
    ``process``, ``cache``
        the host and the process number of the process, as in ``"web-1:4711"``, and the name of the cache,
        if it has one.
    ``cause``
        what started the backfill.
    ``backfill``
        the number of the backfill that a started, completed, failed or cancelled record is about;
        ``None`` for decisions that start none.
    ``time``
        wall-clock time in seconds since the epoch.
    ``lookup``, ``last_lookup``
        how many lookups the cache had counted. A record that stands for several equal decisions in a
        row has the number at the first and at the last of them, and their count in ``repeats``.
    ``window_misses``, ``window_lookups``
        the misses and the lookups that the trigger's decision was based on; 0 in a receipt, and for an order.
    ``keys``, ``loaded``
        how many keys were selected (0 in a receipt), and how many of them the backfill loaded: a key that a
        caller has put or loaded before its turn comes is not asked for.
    ``permits_left``
        automatic backfills that may still start; ``None`` where there is no limit, and in a receipt.
    ``by``, ``reason``
        the person who approved, forced, cancelled or ordered it, and why; not in a receipt.
    ``error``
        what failed, in one line.
    ``read``, ``calls``
        in a receipt: how many of the ``loaded`` keys were read before they were removed, and how many
        source calls the backfill has made. Without it each of these keys would have been a call of its own.
        Successors come in the calls of misses: 0.
    ``verb``, ``details``
        in the record of an order: which, and what of, as in ``"retune"`` and ``"rate=100.0"``.
    """

    number: int
    status: Status
    cause: BackfillCause | None
    time: float
    lookup: int
    last_lookup: int
    window_misses: int = 0
    window_lookups: int = 0
    backfill: int | None = None
    keys: int = 0
    loaded: int = 0
    permits_left: int | None = None
    by: str | None = None
    reason: str | None = None
    error: str | None = None
    read: int | None = None
    calls: int | None = None
    repeats: int = 1
    process: str | None = None
    cache: str | None = None
    verb: str | None = None
    details: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the record in plain JSON types, with ``time`` as ISO 8601 in UTC, without unset fields."""
        fields: dict[str, object] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None:
                fields[name] = value.value if isinstance(value, enum.Enum) else value
        fields["time"] = datetime.fromtimestamp(self.time, tz=UTC).isoformat(timespec="milliseconds")
        return fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a journal comes from, or another file that a cache writes for the next process.

    ``time``
        when it was written: wall-clock time in seconds since the epoch.
    ``host``
        the name of the machine that wrote it.
    ``cache``, ``fingerprint``
        the ``name`` and the ``fingerprint`` of the cache that wrote it; ``None`` where it had none.
    """

    time: float
    host: str
    cache: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalReading:
    """What came of the journal of hot keys when a cache was opened first.

    ``keys``
        how many hot keys were taken from it.
    ``provenance``, ``age``
        where it comes from, and how many seconds ago it was saved; ``None`` where it does not say.
    ``weight``
        what a lookup of its time counts beside one of now: 1.0, or less for an old one; 0.0 when it is not
        used.
    ``ignored``
        why it is not used, in one line; ``None`` when it is.
    """

    keys: int = 0
    provenance: Provenance | None = None
    age: float | None = None
    weight: float = 0.0
    ignored: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotStats:
    """What became of the snapshot that the cache found when it was opened, and of those that it has saved.

    ``state``, ``reason``
        how far the restoring has got, and why it was refused or ended early; else empty.
    ``entries``, ``restored``
        entries of the snapshot, and those of them that are cached again.
    ``left_out``
        entries that were not: expired, changed since, without room, or not to be read.
    ``waiting``
        keys that wait to be loaded from the source: restored values that are served as stale, and keys that
        the log says were loaded since the snapshot.
    ``saved``, ``saved_entries``, ``saved_bytes``, ``saved_without``
        snapshots saved by this cache; the entries and the size of the latest, and how many entries it lacks:
        their key or value would not come back as it is, or the file would be too large.
    ``failed``
        snapshots that could not be saved; the log says why.
    """

    state: RestoreState
    reason: str
    entries: int
    restored: int
    left_out: int
    waiting: int
    saved: int
    saved_entries: int
    saved_bytes: int
    saved_without: int
    failed: int
