"""What a log says of the events of a cache: which line, at which level, with which fields."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.error_text import error_line
from async_backfill._common.log_lines import Line
from async_backfill._loading.failures import ClosingError, GivenUpError
from async_backfill._session.control.details import details_of
from async_backfill.backfill.readiness import ReadinessState
from async_backfill.events import (
    BackfillAudited,
    BudgetChanged,
    CircuitChanged,
    ControlChanged,
    FarStoreFailed,
    JournalRead,
    KeysInvalidated,
    LoadFinished,
    ReadinessChanged,
)
from async_backfill.outcomes import LoadCause
from async_backfill.records import BudgetState, CircuitState, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.events import Event

_CACHE: Final = logging.getLogger("async_backfill")
_BACKFILL: Final = logging.getLogger("async_backfill.backfill")
_CONTROL: Final = logging.getLogger("async_backfill.control")
_CIRCUIT: Final = logging.getLogger("async_backfill.circuit")
_FAR: Final = logging.getLogger("async_backfill.far")
_JOURNAL: Final = logging.getLogger("async_backfill.journal")
_REFRESH: Final = logging.getLogger("async_backfill.load.refresh")
_DEBUG, _INFO, _WARNING = logging.DEBUG, logging.INFO, logging.WARNING
_A_MINUTE: Final = 60.0
_NOTHING_TO_DO: Final = "no key is left to load, or there is no free room"


def _audited(event: BackfillAudited) -> Mapping[str, object]:
    record = event.record
    fields = {
        "backfill": record.backfill,
        "cause": None if record.cause is None else record.cause.value,
        "reason": record.reason,
        "by": record.by,
        "error": record.error,
        "keys": record.keys,
        "loaded": record.loaded,
        "read": record.read,
        "seconds": None if event.seconds is None else round(event.seconds, 3),
        "misses": record.window_misses,
        "lookups": record.window_lookups,
        "permits_left": record.permits_left,
    }
    if record.status is Status.SKIPPED and record.reason is None:
        fields["reason"] = _NOTHING_TO_DO
    return fields


def _audit_line(level: int, text: str, *, between: float = 1.0) -> Line[BackfillAudited]:
    return Line(logger=_BACKFILL, level=level, text=text, fields=_audited, between=between)


_PARTLY: Final = _audit_line(
    _WARNING, "backfill %(backfill)s ended after %(seconds)s s: %(loaded)s of %(keys)s keys loaded, %(error)s"
)
DENIED: Final = _audit_line(
    _WARNING,
    "a backfill was denied, no permit is left (%(misses)s of %(lookups)s lookups missed): "
    "approve_backfills allows more",
    between=_A_MINUTE,
)
SKIPPED: Final = _audit_line(_DEBUG, "a backfill was skipped: %(reason)s")
_DECISIONS: Final[Mapping[Status, Line[BackfillAudited]]] = MappingProxyType(
    {
        Status.STARTED: _audit_line(
            _INFO, "backfill %(backfill)s started because of %(cause)s: %(keys)s keys"
        ),
        Status.COMPLETED: _audit_line(
            _INFO, "backfill %(backfill)s ended after %(seconds)s s: %(loaded)s of %(keys)s keys loaded"
        ),
        Status.FAILED: _audit_line(_WARNING, "backfill %(backfill)s failed: %(error)s"),
        Status.CANCELLED: _audit_line(_INFO, "backfill %(backfill)s was cancelled: %(error)s"),
        Status.DENIED: DENIED,
        Status.SKIPPED: SKIPPED,
        Status.APPROVED: _audit_line(
            _INFO, "%(by)s approved more backfills, %(permits_left)s may start now: %(reason)s"
        ),
        Status.RECEIPT: _audit_line(_DEBUG, "of %(loaded)s keys of backfill %(backfill)s %(read)s were read"),
    }
)

_NEEDS_APPROVAL: Final[Line[BudgetChanged]] = Line(
    logger=_BACKFILL,
    level=_WARNING,
    text="the last permit was spent, and no backfill starts any more: approve_backfills allows more",
    fields=lambda event: {"permits_left": event.permits_left},
)


def _order(event: ControlChanged) -> Mapping[str, object]:
    order, details = event.order, details_of(event.order)
    return {
        "order": order.verb if details is None else f"{order.verb} {details}",
        "by": order.by,
        "reason": order.reason,
        "elsewhere": event.elsewhere,
    }


_ORDERED: Final[Line[ControlChanged]] = Line(
    logger=_CONTROL,
    level=_WARNING,
    text="%(by)s ordered: %(order)s, because: %(reason)s",
    fields=_order,
    between=0.0,
)


def _circuit(event: CircuitChanged) -> Mapping[str, object]:
    return {"circuit": event.before, "state": event.state.value, "failures": event.failures}


_OPENED: Final = (
    "the circuit of the %(circuit)s is open: it failed %(failures)s times in a row, and is not called for a "
    "while"
)
_CLOSED: Final = "the circuit of the %(circuit)s is closed: it answers again"
_CIRCUITS: Final[Mapping[tuple[str, CircuitState], Line[CircuitChanged]]] = MappingProxyType(
    {
        (before, state): Line(logger=logger, level=level, text=text, fields=_circuit)
        for before, logger in (("source", _CIRCUIT), ("far tier", _FAR))
        for state, level, text in (
            (CircuitState.OPEN, _WARNING, _OPENED),
            (CircuitState.CLOSED, _INFO, _CLOSED),
        )
    }
)


def _readiness_line(level: int, text: str) -> Line[ReadinessChanged]:
    return Line(
        logger=_BACKFILL,
        level=level,
        text=text,
        fields=lambda event: {
            "state": str(event.state),
            "reason": event.reason,
            "coverage": round(event.coverage, 3),
        },
    )


_READINESS: Final[Mapping[str, Line[ReadinessChanged]]] = MappingProxyType(
    {
        ReadinessState.WARMING: _readiness_line(_INFO, "the cache is being warmed: %(reason)s"),
        ReadinessState.READY: _readiness_line(_INFO, "the cache is ready: %(reason)s"),
        ReadinessState.GAVE_UP: _readiness_line(
            _WARNING, "the cache is not warm, and traffic may come nevertheless: %(reason)s"
        ),
    }
)

_FAR_FAILED: Final[Line[FarStoreFailed]] = Line(
    logger=_FAR,
    level=_WARNING,
    text="the far tier failed, reads go on without it: %(error)s",
    fields=lambda event: {"error": str(event.error)},
)


def _journal(event: JournalRead) -> Mapping[str, object]:
    reading = event.reading
    return {"keys": reading.keys, "age": reading.age, "reason": reading.ignored}


_JOURNAL_READ: Final[Line[JournalRead]] = Line(
    logger=_JOURNAL, level=_INFO, text="the journal of hot keys was read: %(keys)s keys", fields=_journal
)
_JOURNAL_IGNORED: Final[Line[JournalRead]] = Line(
    logger=_JOURNAL,
    level=_WARNING,
    text="the journal of hot keys is ignored: %(reason)s",
    fields=_journal,
)

_CLEARED: Final[Line[KeysInvalidated]] = Line(
    logger=_CACHE, level=_INFO, text="the cache was cleared", fields=lambda _: {}
)
_CLEARED_ELSEWHERE: Final[Line[KeysInvalidated]] = Line(
    logger=_FAR,
    level=_INFO,
    text="the memory was emptied: another process cleared the cache, or a message of one may be lost",
    fields=lambda _: {},
)

_NOT_REFRESHED: Final[Line[LoadFinished]] = Line(
    logger=_REFRESH,
    level=_WARNING,
    text="a refresh of %(keys)s keys failed, and what is stale is served while it may be: %(error)s",
    fields=lambda event: {
        "keys": len(event.keys),
        "seconds": round(event.seconds, 3),
        "error": "" if event.error is None else error_line(event.error),
    },
)

ALL: Final[tuple[Line[Any], ...]] = (
    *_DECISIONS.values(),
    _PARTLY,
    _NEEDS_APPROVAL,
    _ORDERED,
    *_READINESS.values(),
    *_CIRCUITS.values(),
    _NOT_REFRESHED,
    _CLEARED,
    _FAR_FAILED,
    _CLEARED_ELSEWHERE,
    _JOURNAL_READ,
    _JOURNAL_IGNORED,
)
"""Every line that there is."""


def line_of(event: Event) -> Line[Any] | None:
    """Return the line that a log says of ``event``; ``None`` for none."""
    line: Line[Any] | None = None
    match event:
        case BackfillAudited(record=record):
            is_part = record.status is Status.COMPLETED and record.error is not None
            line = _PARTLY if is_part else _DECISIONS.get(record.status)
        case BudgetChanged(state=BudgetState.NEEDS_APPROVAL, is_known=True):
            line = _NEEDS_APPROVAL
        case CircuitChanged(before=before, state=state):
            line = _CIRCUITS.get((before, state))
        case ControlChanged(order=order) if order.verb != "approve":  # its record has a line of its own
            line = _ORDERED
        case ReadinessChanged(state=ready):
            line = _READINESS[ready]
        case LoadFinished(cause=LoadCause.REFRESH, error=error) if error is not None:
            line = None if isinstance(error, (ClosingError, GivenUpError)) else _NOT_REFRESHED
        case FarStoreFailed():
            line = _FAR_FAILED
        case JournalRead(reading=reading):
            line = _JOURNAL_READ if reading.ignored is None else _JOURNAL_IGNORED
        case KeysInvalidated(keys=None, elsewhere=elsewhere):
            line = _CLEARED_ELSEWHERE if elsewhere else _CLEARED
    return line
