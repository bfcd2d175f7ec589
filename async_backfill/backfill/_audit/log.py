"""The audit log: the latest decisions about backfills, bounded in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from async_backfill.records import LEGAL_CHANGES, AuditRecord, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FOLDED: Final = frozenset({Status.SKIPPED, Status.DENIED})
_SLOTS: Final = MappingProxyType({field.name: vars(AuditRecord)[field.name] for field in fields(AuditRecord)})
_FIELDS: Final = tuple((slot.__get__, slot.__set__) for slot in _SLOTS.values())
_PUT_LAST_LOOKUP, _PUT_REPEATS, _PUT_MISSES, _PUT_LOOKUPS = (
    _SLOTS[name].__set__ for name in ("last_lookup", "repeats", "window_misses", "window_lookups")
)


class AuditLog:
    """Holds the latest ``keep`` records, oldest first.

    A decision that only repeats the one before it (skipped again, denied again) is folded into that
    record: its ``repeats`` and ``last_lookup`` rise. A cache that waits for approval may decide a
    thousand times a second, and its log must still show what came before: decision 9 in notes.md.

    :param keep: the number of records held, 1 or more.
    :param wall_clock: returns the seconds since the epoch.
    :param report: called with each new or changed record.
    :param process: returns the name of this process, which may have been forked since.
    :param cache: the name of the cache.
    """

    def __init__(
        self,
        *,
        keep: int,
        wall_clock: Callable[[], float],
        report: Callable[[AuditRecord], None],
        process: Callable[[], str | None] = lambda: None,
        cache: str | None = None,
    ) -> None:
        self._records: deque[AuditRecord] = deque(maxlen=keep)
        self._wall_clock = wall_clock
        self._report = report
        self._process = process
        self._cache = cache
        self._number = 0
        self._backfills = 0
        self._open: dict[int, Status | None] = {}

    @property
    def records(self) -> tuple[AuditRecord, ...]:
        """The records still held, oldest first."""
        return tuple(self._records)

    @property
    def dropped(self) -> int:
        """The number of older records that are no longer held."""
        return self._number - len(self._records)

    @property
    def backfills(self) -> int:
        """The number of backfills that have started."""
        return self._backfills

    def next_backfill(self) -> int:
        """Count a backfill that is about to start, and return its number, from 1."""
        self._backfills += 1
        self._open[self._backfills] = None
        return self._backfills

    def add(self, status: Status, *, lookup: int, **facts: Any) -> AuditRecord:
        """Add a record of ``status`` with ``facts`` (fields of `AuditRecord`) and return it.

        :raises RuntimeError: when ``status`` may not follow the last status of this backfill.
        """
        previous = self._records[-1] if self._records else None
        if previous is not None and _repeats(previous, status, facts):
            record = _again(previous, lookup, facts)
            self._records[-1] = record
        else:
            self._check_change(status, facts.get("backfill"))
            record = AuditRecord(
                number=self._number + 1,
                status=status,
                time=self._wall_clock(),
                lookup=lookup,
                last_lookup=lookup,
                cause=facts.pop("cause", None),
                process=self._process(),
                cache=self._cache,
                **facts,
            )
            self._number += 1
            self._records.append(record)
        self._report(record)
        return record

    def _check_change(self, status: Status, backfill: int | None) -> None:
        if status is Status.RECEIPT:  # about a backfill that has ended, or about none
            return
        if backfill is None:
            if status not in LEGAL_CHANGES[None]:
                raise RuntimeError(f"a record with status {status} must name its backfill")
            return
        if backfill not in self._open:
            raise RuntimeError(f"backfill {backfill} cannot change to {status}: it is not in progress")
        before = self._open[backfill]
        if status not in LEGAL_CHANGES[before]:
            raise RuntimeError(f"backfill {backfill} cannot change from {before} to {status}")
        if LEGAL_CHANGES[status]:
            self._open[backfill] = status
        else:
            del self._open[backfill]


def _repeats(previous: AuditRecord, status: Status, facts: Mapping[str, Any]) -> bool:
    fact = facts.get
    return (
        status in _FOLDED
        and previous.status is status
        and previous.cause is fact("cause")
        and previous.permits_left == fact("permits_left")
        and previous.reason == fact("reason")
        and previous.by == fact("by")
        and fact("backfill") is None
    )


def _again(previous: AuditRecord, lookup: int, facts: Mapping[str, Any]) -> AuditRecord:
    """Return ``previous`` with one repeat more; `dataclasses.replace` takes ten times as long."""
    again = object.__new__(AuditRecord)
    for take, put in _FIELDS:
        put(again, take(previous))
    _PUT_LAST_LOOKUP(again, lookup)
    _PUT_REPEATS(again, previous.repeats + 1)
    _PUT_MISSES(again, facts.get("window_misses", 0))
    _PUT_LOOKUPS(again, facts.get("window_lookups", 0))
    return again
