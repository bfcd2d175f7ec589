"""What makes a job wait: pure functions of its limits and what was measured; the first one is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._jobs._spec import ThrottleLimits

_PERCENT: Final = 100.0
_FEW_PAGES: Final = 10
_DAY: Final = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was measured last; ``None`` is "not known" or "there is no such thing".

    ``minute``
        of the day, local time.
    ``source_p95``, ``source_first``
        seconds, the 95th percentile of the reads of pages lately, and in the first minute.
    ``lag``, ``lag_error``, ``load``, ``load_error``
        of the source, or why it is not known.
    ``memory``
        the share of the store's memory in use.
    ``evicted``
        how many entries the store has evicted since the job was begun here.
    ``store_p95``
        seconds, the 95th percentile of the writes of pages.
    ``pages``, ``failed``
        the last pages, at most 100, and how many of them failed.
    ``is_busy``
        whether loads of this process's caches wait for the source.
    """

    minute: int | None = None
    source_p95: float | None = None
    source_first: float | None = None
    lag: float | None = None
    lag_error: str | None = None
    load: float | None = None
    load_error: str | None = None
    memory: float | None = None
    evicted: int = 0
    store_p95: float | None = None
    pages: int = 0
    failed: int = 0
    is_busy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why no page may begin: what was measured, and what it must not exceed, in words with units."""

    reason: str
    value: str
    limit: str


def first_reason(limits: ThrottleLimits, readings: Readings) -> Reason | None:
    """Return the first reason that holds; ``None`` when a page may begin."""
    return next((found for holds in _THROTTLES if (found := holds(limits, readings)) is not None), None)


def minutes_of(hours: str) -> tuple[int, int]:
    """Return the begin and the end, in minutes of the day, of hours such as ``"22:00-06:00"``.

    :raises ConfigurationError: when it is something else.
    """
    begin, dash, end = hours.partition("-")
    try:
        found = _minute(begin), 0 if end.strip() == "24:00" else _minute(end)
    except ValueError:
        found = None
    if found is None or not dash or found[0] == found[1]:
        problem = f'{hours!r} is not a begin and an end such as "22:00-06:00"'
        raise ConfigurationError("throttle.hours", problem)
    return found


def _minute(text: str) -> int:
    hour, minute = (int(part) for part in text.strip().split(":"))
    if not (0 <= hour < 24 and 0 <= minute < 60):
        raise ValueError(text)
    return 60 * hour + minute


def _live_loads(_: ThrottleLimits, readings: Readings) -> Reason | None:
    if not readings.is_busy:
        return None
    return Reason(reason="live loads", value="callers wait for the source", limit="they come first")


def _hours(limits: ThrottleLimits, readings: Readings) -> Reason | None:
    if limits.hours is None or readings.minute is None:
        return None
    begin, end = minutes_of(limits.hours)
    if (readings.minute - begin) % _DAY < (end - begin) % _DAY:
        return None
    now = f"{readings.minute // 60:02}:{readings.minute % 60:02}"
    return Reason(reason="hours", value=now, limit=limits.hours)


def _source_latency(limits: ThrottleLimits, readings: Readings) -> Reason | None:
    most, now, first = limits.source_latency, readings.source_p95, readings.source_first
    if most is None or now is None or first is None or now <= most * first:
        return None
    return Reason(reason="source latency", value=f"{now:.3f} s", limit=f"{most} times {first:.3f} s")


def _replica_lag(limits: ThrottleLimits, readings: Readings) -> Reason | None:
    return _over("replica lag", readings.lag, limits.max_lag, readings.lag_error, " s")


def _source_load(limits: ThrottleLimits, readings: Readings) -> Reason | None:
    return _over("source load", readings.load, limits.max_load, readings.load_error, "")


def _over(
    reason: str, value: float | None, most: float | None, error: str | None, unit: str
) -> Reason | None:
    """Return the reason when ``value`` is above ``most``, or is not known because of an error."""
    if most is None:
        return None
    if error is not None:  # what cannot be measured may be anything
        return Reason(reason=reason, value=f"not known: {error}", limit=f"{most:g}{unit}")
    if value is None or value <= most:
        return None
    return Reason(reason=reason, value=f"{value:g}{unit}", limit=f"{most:g}{unit}")


def _store_memory(limits: ThrottleLimits, readings: Readings) -> Reason | None:
    if readings.memory is None or readings.memory <= limits.store_memory:
        return None
    return Reason(
        reason="store memory",
        value=f"{readings.memory * _PERCENT:.1f} % in use",
        limit=f"{limits.store_memory * _PERCENT:.0f} %",
    )


def _store_evictions(_: ThrottleLimits, readings: Readings) -> Reason | None:
    if not readings.evicted:
        return None
    return Reason(reason="store evictions", value=f"{readings.evicted:,} entries", limit="none")


def _store_latency(limits: ThrottleLimits, readings: Readings) -> Reason | None:
    most, now = limits.store_latency, readings.store_p95
    if most is None or now is None or now <= most:
        return None
    return Reason(reason="store latency", value=f"{now:.3f} s", limit=f"{most:g} s")


def _error_rate(limits: ThrottleLimits, readings: Readings) -> Reason | None:
    if readings.pages < _FEW_PAGES or readings.failed <= limits.error_rate * readings.pages:
        return None
    return Reason(
        reason="error rate",
        value=f"{readings.failed} of the last {readings.pages} pages failed",
        limit=f"{limits.error_rate * _PERCENT:.0f} %",
    )


_THROTTLES: Final[tuple[Callable[[ThrottleLimits, Readings], Reason | None], ...]] = (
    _live_loads,
    _hours,
    _source_latency,
    _replica_lag,
    _source_load,
    _store_memory,
    _store_evictions,
    _store_latency,
    _error_rate,
)
