"""Facts as frozen values: the audit record, which status may follow which, what a far store did."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Status(enum.StrEnum):
    """What was decided about a backfill, or became of it."""

    SKIPPED = "skipped"
    DENIED = "denied"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    APPROVED = "approved"
    RECEIPT = "receipt"


class BudgetState(enum.StrEnum):
    """Whether an automatic backfill may start."""

    OPEN = "open"
    NEEDS_APPROVAL = "needs_approval"


class CircuitState(enum.StrEnum):
    """Whether the source is asked."""

    CLOSED = "closed"
    """It is."""

    OPEN = "open"
    """It failed too often: loads fail at once."""

    HALF_OPEN = "half_open"
    """One call at a time is let through, to find out whether it works again."""


class BackfillCause(enum.StrEnum):
    """Who asked for a backfill."""

    THRESHOLD = "threshold"
    READY = "ready"
    SUCCESSORS = "successors"
    MANUAL = "manual"


LEGAL_CHANGES: Final[Mapping[Status | None, frozenset[Status]]] = MappingProxyType(
    {
        # An offer ends at once when nothing is left to load or no permit is left; a scan that fails
        # has spent its permit without ever loading.
        None: frozenset(
            {Status.SKIPPED, Status.DENIED, Status.STARTED, Status.FAILED, Status.APPROVED, Status.RECEIPT}
        ),
        # A load ends well, badly, or with the cache.
        Status.STARTED: frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
        # Nothing is ever reopened: the next backfill is another one, with a number of its own.
        Status.SKIPPED: frozenset(),
        Status.DENIED: frozenset(),
        Status.COMPLETED: frozenset(),
        Status.FAILED: frozenset(),
        Status.CANCELLED: frozenset(),
        Status.APPROVED: frozenset(),
        Status.RECEIPT: frozenset(),
    }
)
"""Which status may follow which for one backfill; ``None`` stands for "no record yet"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One decision about a backfill, or its end.

    ``number``
        1 for the first record, then up by one.
    ``backfill``
        which backfill a started, completed, failed or cancelled record is about; ``None`` for
        decisions that start none.
    ``time``
        wall-clock time in seconds since the epoch.
    ``lookup``, ``last_lookup``
        how many lookups the cache had counted; a record that stands for several equal decisions in
        a row has the first and the last, and their count in ``repeats``.
    ``window_misses``, ``window_lookups``
        what the trigger saw.
    ``keys``, ``loaded``
        keys that were asked for, and those that the source delivered.
    ``permits_left``
        automatic backfills that may still start; ``None`` where there is no limit.
    ``by``, ``reason``
        who approved or forced it, and why.
    ``error``
        what failed, in one line.
    ``read``
        in a receipt: of the ``loaded`` keys, those that were read before they left. Each would have
        been a source call of its own; ``calls`` were made for them.
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

    def as_dict(self) -> dict[str, object]:
        """Return the record as plain JSON types, ``time`` as ISO 8601 in UTC, unset fields left out."""
        fields: dict[str, object] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None:
                fields[name] = value.value if isinstance(value, enum.Enum) else value
        fields["time"] = datetime.fromtimestamp(self.time, tz=UTC).isoformat(timespec="milliseconds")
        return fields
