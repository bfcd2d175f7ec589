"""What a log says of the events of jobs: which line, at which level, with which fields."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.log_lines import Line
from async_backfill._jobs._events import JobStatusChanged, JobThrottled
from async_backfill._jobs._records import JobStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill._jobs._events import AnyJobEvent

LOGGER: Final = logging.getLogger("async_backfill.jobs")
_STATUS: Final = logging.getLogger("async_backfill.jobs.status")
_LEVELS: Final = MappingProxyType(
    {
        JobStatus.PAUSED: logging.WARNING,
        JobStatus.DONE_WITH_GAPS: logging.WARNING,
        JobStatus.FAILED: logging.ERROR,
    }
)
_OFTEN: Final = frozenset({"rate", "live loads"})
"""Reasons that come and go with each page: who set them knows."""


def _change(event: JobStatusChanged) -> Mapping[str, object]:
    before = None if event.before is None else event.before.value
    return {"status": event.status.value, "before": before, "by": event.by, "reason": event.reason}


def _throttle(event: JobThrottled) -> Mapping[str, object]:
    shown = event.throttled or event.before
    return {
        "lane": event.lane,
        "reason": None if shown is None else shown.reason,
        "measured": None if shown is None else shown.value,
        "limit": None if shown is None else shown.limit,
        "seconds": round(event.seconds, 3),
    }


def _lines_of(status: JobStatus) -> tuple[Line[JobStatusChanged], Line[JobStatusChanged]]:
    level, text = _LEVELS.get(status, logging.INFO), "job %(job)s (%(job_name)s): %(status)s, by %(by)s"
    return (
        Line(logger=_STATUS, level=level, text=text, fields=_change),
        Line(logger=_STATUS, level=level, text=f"{text}: %(reason)s", fields=_change),
    )


_STATUSES: Final = MappingProxyType({status: _lines_of(status) for status in JobStatus})
_WAITS: Final = "job %(job)s (%(job_name)s) waits: %(reason)s, %(measured)s (limit: %(limit)s)"
_GOES_ON: Final = "job %(job)s (%(job_name)s) goes on after %(seconds)s s: %(reason)s"
_THROTTLES: Final[Mapping[tuple[bool, bool], Line[JobThrottled]]] = MappingProxyType(
    {
        (is_often, waits): Line(
            logger=LOGGER,
            level=logging.DEBUG if is_often else logging.INFO,
            text=_WAITS if waits else _GOES_ON,
            fields=_throttle,
        )
        for is_often in (False, True)
        for waits in (False, True)
    }
)

ALL: Final[tuple[Line[Any], ...]] = (
    *(line for lines in _STATUSES.values() for line in lines),
    *_THROTTLES.values(),
)
"""Every line that there is."""


def line_of(event: AnyJobEvent) -> Line[Any] | None:
    """Return the line that a log says of ``event``; ``None`` for none."""
    match event:
        case JobStatusChanged(status=status, reason=reason):
            return _STATUSES[status][reason is not None]
        case JobThrottled(throttled=throttled, before=before):
            shown = throttled or before
            is_often = shown is not None and shown.reason in _OFTEN
            return _THROTTLES[is_often, throttled is not None]
        case _:
            return None
